"""A notification: its kind, its id, which whoever finds it computes alike, and its body. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from middlewares.json_codec import to_json
from middlewares.ledger.settlement.event import iso

LONGEST_URL = 2_000
"""Characters of the URL of an endpoint."""


class NotificationKind(StrEnum):
    """What a notification is about."""

    LIMIT_THRESHOLD = "limit.threshold"
    """A share of a cap is used."""
    LIMIT_FORECAST = "limit.forecast"
    """A cap ends soon."""
    BALANCE_LOW = "balance.low"
    BALANCE_FORECAST = "balance.forecast"
    """A balance ends soon."""
    KEY_EXPIRING = "key.expiring"
    KEY_OLD = "key.old"
    """A key should be rotated."""
    KEY_REVOKED = "key.revoked"
    STATEMENT_READY = "statement.ready"
    STREAM_STARTED = "stream.started"
    STREAM_IDLE = "stream.idle"
    STREAM_ENDED = "stream.ended"
    POOL_DOWN = "pool.down"
    POOL_UP = "pool.up"
    TEST = "webhook.test"


OF_OPERATOR = frozenset({NotificationKind.POOL_DOWN, NotificationKind.POOL_UP})
"""Kinds that go to the operator alone; all others go to an app."""
LASTING = frozenset(
    {
        NotificationKind.LIMIT_THRESHOLD,
        NotificationKind.LIMIT_FORECAST,
        NotificationKind.BALANCE_LOW,
        NotificationKind.BALANCE_FORECAST,
        NotificationKind.KEY_EXPIRING,
        NotificationKind.KEY_OLD,
    }
)
"""Kinds whose cause may stand for years: the outbox keeps their ids, so that each is sent once."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing to notify somebody of."""

    kind: NotificationKind
    owner: str
    """Client id of the app that it is for, or the operator."""
    subject: tuple[str, ...]
    """What makes it this one and no other within its kind and owner: record, period, threshold."""
    data: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Return its id: the same whoever finds it, and however often."""
        text = "\n".join((self.kind, self.owner, *self.subject))
        return f"msg_{hashlib.sha256(text.encode()).hexdigest()[:32]}"

    def body(self, time_ms: int) -> str:
        """Return what is sent, as Standard Webhooks shapes it."""
        return to_json({"type": self.kind, "timestamp": iso(time_ms), "data": dict(self.data)}).decode()
