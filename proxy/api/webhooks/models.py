"""Webhook endpoints and deliveries, as the APIs take and return them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field

from proxy.api.keys.models import Amount
from proxy.api.models import RequestBody, ShortText, printable
from proxy.webhooks.notifications.attempts import Delivery, DeliveryState, SendOutcome
from proxy.webhooks.notifications.notification import LONGEST_URL, NotificationKind

if TYPE_CHECKING:  # commands start without the client of Redis
    from proxy.control.webhook_endpoints import WebhookChange, WebhookEndpoint

LONGEST_OVERLAP_SECONDS = 30 * 86_400

WebhookUrl = Annotated[
    str,
    Field(min_length=1, max_length=LONGEST_URL, description="Where webhooks are sent; https."),
    AfterValidator(printable),
]
Kinds = Annotated[list[NotificationKind], Field(max_length=20, description="Kinds of notifications; empty: all.")]
Below = Annotated[Amount | None, Field(description="Balance below which `balance.low` is sent; null: never.")]


class ChangedWebhook(RequestBody):
    """What to change of an endpoint; what is left out stays."""

    url: WebhookUrl | None = None
    kinds: Kinds | None = None
    description: ShortText | None = None
    balance_below: Below = None
    status: Literal["active", "paused"] | None = Field(None, description="`paused`: what is for it waits.")

    @property
    def change(self) -> WebhookChange:
        """Return what is to be changed."""
        found: WebhookChange = {}
        if self.url is not None:
            found["url"] = self.url
        if self.kinds is not None:
            found["kinds"] = tuple(self.kinds)
        if self.description is not None:
            found["description"] = self.description
        if "balance_below" in self.model_fields_set:
            found["balance_below"] = self.balance_below
        if self.status is not None:
            found["status"] = self.status
        return found


class NewWebhook(RequestBody):
    """An endpoint to create."""

    url: WebhookUrl
    kinds: Kinds = Field([])
    description: ShortText = ""
    balance_below: Below = None


class WebhookView(BaseModel):
    """An endpoint, without its secret."""

    webhook_id: str
    owner: str = Field(description="Client id of its app, or `operator`.")
    url: str
    kinds: list[str] = Field(description="Empty: everything.")
    description: str
    balance_below: str | None
    status: Literal["active", "paused"]
    created_at: datetime

    @classmethod
    def of(cls, endpoint: WebhookEndpoint) -> Self:
        """Return the view of a record."""
        return cls.model_validate(endpoint, from_attributes=True)


class WebhookSecret(WebhookView):
    """An endpoint with its new secret, which is in this response and nowhere else."""

    secret: str = Field(description="`whsec_` and base64, as libraries of Standard Webhooks take it.")

    @classmethod
    def with_secret(cls, endpoint: WebhookEndpoint, secret: str) -> Self:
        """Return the view of a record and its secret."""
        return cls(**WebhookView.of(endpoint).model_dump(), secret=secret)


class WebhookList(BaseModel):
    """Endpoints, oldest first."""

    webhooks: list[WebhookView]


class SecretRotation(RequestBody):
    """How a secret is replaced."""

    overlap_seconds: int = Field(
        86_400, ge=0, le=LONGEST_OVERLAP_SECONDS, description="Time for which webhooks are signed by both secrets."
    )

    @property
    def overlap(self) -> timedelta:
        """Return that time."""
        return timedelta(seconds=self.overlap_seconds)


class WebhookTest(BaseModel):
    """The end of a test webhook, which was sent once."""

    delivered: bool
    status: int | None = Field(description="HTTP status of the response; null: there was none.")
    error: str | None = Field(description="Why it was not delivered.")
    milliseconds: int

    @classmethod
    def of(cls, outcome: SendOutcome) -> Self:
        """Return the view of an attempt."""
        return cls(
            delivered=not outcome.error,
            status=outcome.status or None,
            error=outcome.error or None,
            milliseconds=outcome.milliseconds,
        )


class DeliveryView(BaseModel):
    """A webhook, and what has become of it."""

    id: str = Field(description="Its `webhook-id`.")
    kind: str
    created_at: datetime
    state: DeliveryState = Field(description="`pending`: it is tried again.")
    attempts: int
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    status: int | None = Field(description="HTTP status of the last attempt; null: there was no response.")
    error: str | None
    body: str = Field(description="What is sent; empty once it is not kept any more.")

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """Return the view of a row of the outbox."""
        pending = delivery.state is DeliveryState.PENDING
        return cls.model_validate(
            {
                "id": delivery.id,
                "kind": delivery.kind,
                "created_at": _moment(delivery.time),
                "state": delivery.state,
                "attempts": delivery.attempts,
                "next_attempt_at": _moment(delivery.due) if pending else None,
                "last_attempt_at": _moment(delivery.tried),
                "status": delivery.status or None,
                "error": delivery.error or None,
                "body": delivery.body,
            }
        )


class DeliveryPage(BaseModel):
    """Deliveries to an endpoint, the latest first."""

    deliveries: list[DeliveryView]
    next: int | None = Field(description="`before` of the next page; null: this is the last one.")


def _moment(time_ms: int | None) -> datetime | None:
    return None if time_ms is None else datetime.fromtimestamp(time_ms / 1_000, UTC)
