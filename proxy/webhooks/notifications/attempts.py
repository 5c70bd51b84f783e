"""Webhooks on their way, as the outbox has them, and the ends of attempts. Pure data. Times are Unix milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DeliveryState(StrEnum):
    """What has become of a webhook."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """It is tried no more; it can be replayed by hand."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook to one endpoint."""

    seq: int
    endpoint: str
    id: str
    kind: str
    time: int
    body: str
    state: DeliveryState
    attempts: int
    since: int
    due: int
    tried: int | None
    status: int
    error: str


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """The end of one attempt."""

    status: int = 0
    """HTTP status; 0: there was no response."""
    error: str = ""
    """Why it was not taken, for people; empty: it was."""
    milliseconds: int = 0
