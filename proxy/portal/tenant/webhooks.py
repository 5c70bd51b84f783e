"""Webhook endpoints of an app: register, change, try, rotate, remove; and their deliveries, with replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.routing import Route

from proxy.control.audit.line import AuditTarget
from proxy.control.webhook_endpoints import WebhookChange, WebhookEndpoint, WebhookStatus
from proxy.identity.token_issuer import ADMIN
from proxy.portal.access.edits import edited
from proxy.portal.access.forms import check_typed_name
from proxy.portal.access.visits import Submission, Visit, Visits
from proxy.portal.pages import Pages, see_other
from proxy.portal.services import PortalServices
from proxy.portal.tenant.key_fields import LONGEST_NAME, OVERLAPS, overlap_of
from proxy.portal.tenant.overview import APP
from proxy.portal.tenant.webhook_fields import (
    FIELD_NAMES,
    KIND_FIELD,
    KINDS,
    form_values,
    typed_name,
    unusable,
    webhook_members,
    webhook_values,
    with_kinds,
)
from proxy.reporting.tables import decimal
from proxy.webhooks.notifications.attempts import Delivery
from proxy.webhooks.notifications.notification import LONGEST_URL
from proxy.webhooks.notifications.service import UnusableWebhook

_SHOWN = 50
_STATUSES: Mapping[str, WebhookStatus] = {"active": "active", "paused": "paused"}
_FIELDS: Mapping[str, Any] = {
    "kinds": KINDS,
    "kind_field": KIND_FIELD,
    "longest_url": LONGEST_URL,
    "longest": LONGEST_NAME,
}
"""What the template of the fields needs to know."""


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One webhook of the page."""

    delivery: Delivery

    @property
    def found(self) -> datetime:
        """Return when there was something to notify of."""
        return _moment(self.delivery.time)

    @property
    def due(self) -> datetime:
        """Return when it is tried next."""
        return _moment(self.delivery.due)


class WebhookPages:
    """The endpoints of an app."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._webhooks = services.webhooks
        self._currency = services.settings.currency
        self._pages = pages

    def routes(self, visits: Visits) -> Sequence[Route]:
        """Return the routes; whoever may read the app sees endpoints, and who manages it changes them."""
        path, one = f"{APP}/webhooks", f"{APP}/webhooks/{{webhook_id}}"
        forms = (
            (f"{one}/status", self.set_status, "webhook.change"),
            (f"{one}/test", self.test, "webhook.test"),
            (f"{one}/remove", self.remove, "webhook.remove"),
            (f"{one}/deliveries/{{delivery_id}}/replay", self.replay, "webhook.replay"),
        )
        return (
            visits.page(path, self.show_all),
            visits.page(one, self.show),
            visits.form(
                path, self.create, action="webhook.create", kind="webhook", scope=ADMIN, once=path, again=self.show_all
            ),
            visits.form(
                f"{one}/change", self.change, action="webhook.change", kind="webhook", scope=ADMIN, again=self.show
            ),
            visits.form(
                f"{one}/rotate", self.rotate, action="webhook.rotate_secret", kind="webhook", scope=ADMIN, once=one
            ),
            *(visits.form(at, take, action=action, kind="webhook", scope=ADMIN) for at, take, action in forms),
        )

    async def show_all(self, visit: Visit) -> Response:
        """Show the endpoints, oldest first."""
        found = await self._webhooks.all(visit.client_id)
        return self._pages.show(
            "webhooks.html",
            visit,
            endpoints=found,
            path=f"/portal/apps/{visit.client_id}/webhooks",
            **form_values(visit.mistake, webhook_values(None, self._currency)),
            **_FIELDS,
        )

    async def show(self, visit: Visit) -> Response:
        """Show one endpoint, and a page of what was sent to it, the latest first."""
        endpoint, before = await self._endpoint(visit), visit.request.query_params.get("before", "")
        if before and not (before.isdecimal() and before.isascii() and len(before) < 19 and int(before) > 0):
            raise unusable("before: expected what a page has named.")
        deliveries, following = await self._webhooks.deliveries(
            visit.client_id, endpoint.webhook_id, int(before) if before else None, _SHOWN
        )
        path = _path(visit, endpoint)
        below = endpoint.balance_below
        return self._pages.show(
            "webhook.html",
            visit,
            endpoint=endpoint,
            below="" if below is None else decimal(int(below), self._currency.decimals),
            deliveries=[DeliveryRow(each) for each in deliveries],
            following=f"{path}?before={following}" if following else "",
            first=not before,
            path=path,
            typed_name=typed_name(endpoint),
            overlaps=OVERLAPS,
            **form_values(visit.mistake, webhook_values(endpoint, self._currency)),
            **_FIELDS,
        )

    async def create(self, form: Submission) -> Response:
        """Register a URL, and show its secret once."""
        members = webhook_members(form.fields, self._currency)
        try:
            endpoint, secret = await self._webhooks.create(
                form.visit.client_id,
                members["url"],
                kinds=members["kinds"],
                description=members["description"],
                balance_below=members["balance_below"],
            )
        except UnusableWebhook as error:
            raise unusable(f"{error}.") from None
        form.act.target = AuditTarget("webhook", endpoint.webhook_id, form.visit.client_id)
        form.act.detail["host"] = urlsplit(endpoint.url).hostname
        return self._shown_secret(form.visit, endpoint, secret)

    async def change(self, form: Submission) -> Response:
        """Change URL, description, kinds and threshold."""
        endpoint, members = await self._target(form), webhook_members(form.fields, self._currency)
        names = edited(with_kinds(form.fields), webhook_values(endpoint, self._currency), FIELD_NAMES)
        change = cast("WebhookChange", {name: value for name, value in members.items() if name in names})
        form.act.detail["changed"] = ", ".join(sorted(change))
        return await self._changed(form, endpoint, change)

    async def set_status(self, form: Submission) -> Response:
        """Pause an endpoint, for which webhooks then wait, or let it go on."""
        endpoint, status = await self._target(form), _STATUSES.get(form.fields.get("status", ""))
        if status is None:
            raise unusable("Status: expected active or paused.")
        form.act.detail["changed"] = "status"
        return await self._changed(form, endpoint, {"status": status})

    async def rotate(self, form: Submission) -> Response:
        """Replace the secret, and show the new one once; both sign for the overlap."""
        endpoint, overlap = await self._target(form), overlap_of(form.fields)
        form.act.detail["overlap_seconds"] = int(overlap / timedelta(seconds=1))
        try:
            found, secret = await self._webhooks.rotate_secret(form.visit.client_id, endpoint.webhook_id, overlap)
        except UnusableWebhook as error:
            raise unusable(f"{error}.") from None
        return self._shown_secret(form.visit, found, secret)

    async def test(self, form: Submission) -> Response:
        """Send a test webhook now, and show what came of it."""
        endpoint = await self._target(form)
        outcome = await self._webhooks.test(form.visit.client_id, endpoint.webhook_id)
        path = _path(form.visit, endpoint)
        return self._pages.show("webhook_tested.html", form.visit, endpoint=endpoint, outcome=outcome, path=path)

    async def remove(self, form: Submission) -> Response:
        """Remove an endpoint, and all that waits for it, if its name was typed."""
        endpoint = await self._target(form)
        check_typed_name(form.fields, typed_name(endpoint), "remove the endpoint")
        await self._webhooks.remove(form.visit.client_id, endpoint.webhook_id)
        return see_other(f"/portal/apps/{form.visit.client_id}/webhooks")

    async def replay(self, form: Submission) -> Response:
        """Send a webhook again, under the same id."""
        endpoint, delivery = await self._target(form), form.visit.request.path_params["delivery_id"]
        form.act.detail["delivery"] = delivery
        await self._webhooks.replay(form.visit.client_id, endpoint.webhook_id, delivery)
        return see_other(_path(form.visit, endpoint))

    async def _changed(self, form: Submission, endpoint: WebhookEndpoint, change: WebhookChange) -> Response:
        try:
            await self._webhooks.change(form.visit.client_id, endpoint.webhook_id, change)
        except UnusableWebhook as error:
            raise unusable(f"{error}.") from None
        return see_other(_path(form.visit, endpoint))

    def _shown_secret(self, visit: Visit, endpoint: WebhookEndpoint, secret: str) -> Response:
        path = _path(visit, endpoint)
        return self._pages.show("webhook_secret.html", visit, endpoint=endpoint, secret=secret, path=path)

    async def _target(self, form: Submission) -> WebhookEndpoint:
        endpoint = await self._endpoint(form.visit)
        form.act.target = replace(form.act.target, id=endpoint.webhook_id)
        return endpoint

    async def _endpoint(self, visit: Visit) -> WebhookEndpoint:
        return await self._webhooks.get(visit.client_id, visit.request.path_params["webhook_id"])


def _path(visit: Visit, endpoint: WebhookEndpoint) -> str:
    return f"/portal/apps/{visit.client_id}/webhooks/{endpoint.webhook_id}"


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1_000, UTC)
