"""The fields of the forms about webhooks, as the service takes them. Pure."""

from __future__ import annotations

from typing import Any

from config.runtime import Currency
from middlewares.exchange import Refusal
from proxy.control.webhook_endpoints import WebhookChange, WebhookEndpoint
from proxy.portal.access.edits import merged
from proxy.portal.access.forms import Fields, Mistake, single_spaced
from proxy.portal.tenant.key_fields import LONGEST_NAME, atomic_units
from proxy.reporting.tables import decimal
from proxy.webhooks.notifications.notification import OF_OPERATOR, NotificationKind

KINDS = tuple(kind for kind in NotificationKind if kind not in OF_OPERATOR and kind is not NotificationKind.TEST)
"""What an app can be notified of."""
KIND_FIELD = "kind-"
"""What the name of a checkbox has before its kind."""
FIELD_NAMES = {
    "url": "URL",
    "description": "Description",
    "balance_below": "Balance that is low",
    "kinds": "What to send",
}
"""Fields of the form of an endpoint, and what people call them; `kinds` stands for its checkboxes."""


def webhook_members(fields: Fields, currency: Currency) -> WebhookChange:
    """Return URL, description, kinds and threshold of an endpoint. Raises `Refusal` (400), which names the field.

    Without a checked box an endpoint takes all kinds. Whether the URL may be connected to is for the service to say.
    """
    description, below = fields.get("description", ""), fields.get("balance_below", "")
    if len(description) > LONGEST_NAME or not description.isprintable():
        raise unusable(f"Description: expected at most {LONGEST_NAME} characters and no control characters.")
    return {
        "url": fields.get("url", ""),
        "description": description,
        "kinds": checked(fields),
        "balance_below": str(atomic_units(below, currency, "Balance")) if below else None,
    }


def webhook_values(endpoint: WebhookEndpoint | None, currency: Currency) -> dict[str, str]:
    """Return what the form of an endpoint, None: a new one, has in its fields, by their names."""
    if endpoint is None:
        return dict.fromkeys(FIELD_NAMES, "")
    below = endpoint.balance_below
    return {
        "url": endpoint.url,
        "description": endpoint.description,
        "balance_below": "" if below is None else decimal(int(below), currency.decimals),
        "kinds": " ".join(kind for kind in KINDS if kind in endpoint.kinds),
    }


def with_kinds(fields: Fields) -> Fields:
    """Return the fields with one more, which stands for the checkboxes."""
    return {**fields, "kinds": " ".join(checked(fields))}


def form_values(mistake: Mistake | None, values: Fields) -> dict[str, Any]:
    """Return what the template of the form needs: its values, what they are now, and the kinds that are checked."""
    sent = mistake and Mistake(mistake.detail, with_kinds(mistake.fields))
    found = merged(sent, values)
    return {"values": found, "now_values": values, "chosen": found["kinds"].split()}


def typed_name(endpoint: WebhookEndpoint) -> str:
    """Return what has to be typed to remove an endpoint: its description, or its id where it has none."""
    return single_spaced(endpoint.description) or endpoint.webhook_id


def checked(fields: Fields) -> tuple[NotificationKind, ...]:
    """Return the kinds whose boxes are checked."""
    return tuple(kind for kind in KINDS if f"{KIND_FIELD}{kind}" in fields)


def unusable(detail: str) -> Refusal:
    """Return the refusal of a field, which the detail names."""
    return Refusal(400, "invalid_parameter", detail)
