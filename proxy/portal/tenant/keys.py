"""API keys of an app: list, create, rotate, revoke. The text of a key is on the page that follows, and nowhere else."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.routing import Route

from middlewares.auth.records import KeyRecord
from middlewares.auth.user_fields import LONGEST_EXTERNAL_ID
from middlewares.exchange import Refusal
from proxy.control.api_keys import KeyEnded
from proxy.control.audit.line import AuditTarget
from proxy.control.key_age import rotation_due
from proxy.control.key_changes import MONEY, KeyChange, UnusableMember, without_ended_increase
from proxy.identity.token_issuer import ADMIN, USERS_READ, USERS_TOKEN
from proxy.portal.access.edits import edited, merged
from proxy.portal.access.forms import USER_FIELD, check_typed_name, typed
from proxy.portal.access.visits import Submission, Visit, Visits
from proxy.portal.pages import Pages, see_other
from proxy.portal.services import PortalServices
from proxy.portal.tenant.key_fields import (
    END_INCREASE,
    FIELD_NAMES,
    LIMIT_NAMES,
    LONGEST_ORIGINS,
    OVERLAPS,
    end_of_key,
    in_order,
    key_members,
    key_values,
    limits_of,
    overlap_of,
)
from proxy.portal.tenant.key_row import KeyRow
from proxy.portal.tenant.overview import APP
from proxy.portal.tenant.users import user_of

_SHOWN = 500
"""Most keys of a page."""

_FIELDS: Mapping[str, Any] = {"limit_names": LIMIT_NAMES, "money": MONEY, "longest_origins": LONGEST_ORIGINS}
"""What the template of the fields needs to know."""

Result = TypeVar("Result")


class KeyPages:
    """The keys of an app and of its users."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    def routes(self, visits: Visits) -> Sequence[Route]:
        """Return the routes. Which keys a role may change depends on whose they are, as in the API."""
        path, one = f"{APP}/keys", f"{APP}/keys/{{key_id}}"
        return (
            visits.page(path, self.show_all, USERS_READ),
            visits.form(
                path, self.create, action="key.create", kind="key", scope=USERS_TOKEN, once=path, again=self.show_all
            ),
            visits.page(one, self.show, USERS_READ),
            visits.form(
                f"{one}/change", self.change, action="key.change", kind="key", scope=USERS_TOKEN, again=self.show
            ),
            visits.form(f"{one}/rotate", self.rotate, action="key.rotate", kind="key", scope=USERS_TOKEN, once=path),
            visits.form(f"{one}/revoke", self.revoke, action="key.revoke", kind="key", scope=USERS_TOKEN),
        )

    async def show_all(self, visit: Visit) -> Response:
        """Show the keys, the newest first, those that work before those that have ended."""
        records = in_order(await self._services.api_keys.list(visit.client_id), datetime.now(UTC))
        rows = await self._rows(visit, records[:_SHOWN])
        user = visit.request.query_params.get("user", "")[:LONGEST_EXTERNAL_ID]
        values = {**dict.fromkeys((*LIMIT_NAMES, "name", "origins", "last_day"), ""), "user": user}
        return self._pages.show(
            "keys.html",
            visit,
            rows=rows,
            hidden=len(records) - len(rows),
            values=typed(visit.mistake, values),
            **_FIELDS,
        )

    async def show(self, visit: Visit) -> Response:
        """Show one key, with the forms that rotate and revoke it."""
        row = await self._row(visit)
        values = key_values(row.record, self._services.settings.currency)
        return self._pages.show(
            "key.html",
            visit,
            row=row,
            now_values=values,
            values=merged(visit.mistake, values),
            increased=without_ended_increase(row.record, datetime.now(UTC)).increase is not None,
            end_increase=END_INCREASE,
            overlaps=OVERLAPS,
            **_FIELDS,
        )

    async def create(self, form: Submission) -> Response:
        """Create a key of the app, or of one of its users, and show its text once."""
        visit, user, fields = form.visit, form.fields.get(USER_FIELD, ""), form.fields
        user_id = await self._user(visit, user) if user else None
        if user_id is None:
            visit.require(ADMIN)
        members: KeyChange = {**key_members(fields, self._services.settings.currency), **end_of_key(fields)}
        form.act.detail |= {"user": user_id, "name": members.get("name")}
        created = self._services.api_keys.create(visit.client_id, user=user_id, **members)
        record, text = await _taken(created)
        form.act.target = AuditTarget("key", record.key_id, visit.client_id)
        return self._pages.show("key_created.html", visit, record=record, text=text, old=None)

    async def change(self, form: Submission) -> Response:
        """Change name, limits and web pages of a key, in every worker at once, and end its increase."""
        row, currency = await self._changeable(form), self._services.settings.currency
        names = edited(form.fields, key_values(row.record, currency), FIELD_NAMES)
        members = key_members(form.fields, currency, names)
        form.act.detail["changed"] = ", ".join(sorted(members))
        await _taken(self._services.api_keys.change(row.record.key_id, **members))
        return see_other(f"/portal/apps/{form.visit.client_id}/keys/{row.record.key_id}")

    async def rotate(self, form: Submission) -> Response:
        """Replace a key by a new one that may do the same, and show its text once."""
        row, overlap = await self._changeable(form), overlap_of(form.fields)
        rotated = self._services.api_keys.rotate(row.record.key_id, overlap)
        old, record, text = await _taken(rotated)
        form.act.detail |= {"new_key": record.key_id, "overlap_seconds": int(overlap / timedelta(seconds=1))}
        return self._pages.show("key_created.html", form.visit, record=record, text=text, old=old)

    async def revoke(self, form: Submission) -> Response:
        """End a key for good, if its name was typed."""
        row = await self._changeable(form)
        check_typed_name(form.fields, row.typed_name, "revoke the key")
        await self._services.api_keys.revoke(row.record.key_id)
        return see_other(f"/portal/apps/{form.visit.client_id}/keys")

    async def _changeable(self, form: Submission) -> KeyRow:
        """Return the key of the path, which the form is about. Raises `Refusal`: 404, and 403 for a key of the app."""
        row = await self._row(form.visit)
        form.act.target = replace(form.act.target, id=row.record.key_id)
        if row.record.user is None:
            form.visit.require(ADMIN)
        else:
            form.act.detail["user"] = row.record.user
        return row

    async def _row(self, visit: Visit) -> KeyRow:
        record = await self._services.api_keys.get(visit.request.path_params["key_id"])
        if record is None or record.app != visit.client_id:
            raise Refusal(404, "unknown_id", "The app has no such key.")
        [row] = await self._rows(visit, [record])
        return row

    async def _rows(self, visit: Visit, records: Sequence[KeyRecord]) -> list[KeyRow]:
        services, now = self._services, datetime.now(UTC)
        used = await services.key_use.of(visit.client_id)
        owners = {each.user for each in records if each.user}
        users = {each.user_id: each for each in await services.users.several(visit.client_id, owners)}
        suspended = {each for each, user in users.items() if user.status != "active"}
        days = services.settings.auth.rotate_after_days
        return [
            KeyRow(
                record=each,
                user=(user.external_id if (user := users.get(each.user)) else each.user) if each.user else "",
                last_used=used.get(each.key_id),
                due=rotation_due(each, now, days),
                limits=limits_of(each, services.settings.currency, now),
                manageable=visit.makes_user_keys if each.user else visit.manages,
                suspended=each.user in suspended,
            )
            for each in records
        ]

    async def _user(self, visit: Visit, name: str) -> str | None:
        """Return the id of an active user of the app; None: only spaces were typed, and are the name of none.

        Raises `Refusal`: 404, 403 for one that is suspended.
        """
        found = await user_of(self._services.users, visit.client_id, name)
        if found is None:
            if not name.strip():
                return None
            raise Refusal(404, "unknown_id", "The app has no such user.")
        if found.status != "active":
            raise Refusal(403, "user_suspended", "The user is suspended; make it active first.")
        return found.user_id


async def _taken(work: Awaitable[Result]) -> Result:
    """Return what the service does. Raises `Refusal`: 400 for what cannot be meant, 409 for a key that has ended."""
    try:
        return await work
    except UnusableMember as error:
        raise Refusal(400, "invalid_parameter", f"{error}.") from None
    except KeyEnded as error:
        raise Refusal(409, "key_ended", f"{error}.") from None
