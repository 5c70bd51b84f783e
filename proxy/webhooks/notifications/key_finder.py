"""Finds keys that expire soon, that are old, and that were revoked."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from middlewares.auth.records import KeyRecord, RecordRef
from middlewares.ledger.settlement.event import iso
from proxy.control.audit.line import ActOutcome
from proxy.control.key_age import rotation_due
from proxy.control.key_changes import handed_out
from proxy.control.records import Client, Records, indexed, keys_of
from proxy.history.store import History
from proxy.history.tables import AUDIT
from proxy.webhooks.notifications.notification import Notification, NotificationKind
from proxy.webhooks.notifications.round import Addressed, NotifierRound

LOOK_MS = 300_000
"""Time between two looks at all keys of an app."""
LOOK_BACK_MS = 86_400_000
"""Age of revocations that a process looks for when it takes over."""
_REVOKED = "key.revoke"


class KeyAgeFinder:
    """Looks at the keys of those who want notifications, every few minutes."""

    def __init__(self, client: Client, *, expiring_days: int, old_days: int) -> None:
        """0 days: never."""
        self._client = client
        self._records = Records(client, KeyRecord)
        self._expiring = timedelta(days=expiring_days)
        self._old_days = old_days
        self._looked: dict[str, int] = {}

    async def find(self, current: NotifierRound) -> list[Addressed]:
        """Return the notifications about keys that end soon, or are old."""
        owners = current.owners_that_want((NotificationKind.KEY_EXPIRING, NotificationKind.KEY_OLD))
        found: list[Addressed] = []
        for owner in owners:
            if current.now - self._looked.get(owner, 0) >= LOOK_MS:
                ids = await indexed(self._client, keys_of(owner))
                for key in handed_out(await self._records.several([RecordRef("key", each) for each in ids])):
                    for notification in self._notifications(key, datetime.fromtimestamp(current.now / 1_000, UTC)):
                        found += current.address(notification)
        self._looked |= dict.fromkeys(owners, current.now)
        return found

    def _notifications(self, key: KeyRecord, now: datetime) -> list[Notification]:
        found = []
        ends = key.expires_at
        if key.status == "active" and key.replaced_by is None and ends and now < ends <= now + self._expiring:
            subject = (key.key_id, ends.isoformat())
            found.append(Notification(NotificationKind.KEY_EXPIRING, key.app, subject, _data(key)))
        if rotation_due(key, now, self._old_days):
            found.append(Notification(NotificationKind.KEY_OLD, key.app, (key.key_id,), _data(key)))
        return found


class RevocationFinder:
    """Follows the audit log, whose lines are chained in order, so that none can appear before one that was seen."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._seen: int | None = None

    async def find(self, current: NotifierRound) -> list[Addressed]:
        """Return the notifications about keys that were revoked since the last look."""
        owners = current.owners_that_want((NotificationKind.KEY_REVOKED,))
        if not owners:
            return []
        since = current.now - LOOK_BACK_MS
        self._seen, rows = await self._history.read(_revocations, owners, self._seen, since)
        found: list[Addressed] = []
        for row in rows:
            data = {"key_id": row.target, "revoked_at": iso(row.time), "by": row.actor_kind}
            notification = Notification(NotificationKind.KEY_REVOKED, row.app, (row.target,), data)
            found += current.address(notification, happened=row.time)
        return found


def _revocations(
    connection: Connection, owners: Collection[str], after: int | None, since: int
) -> tuple[int, list[Any]]:
    """Return the number of the last line, and the lines behind `after` by which keys of these apps were revoked.

    `after` None: those written after `since`.
    """
    last = int(connection.execute(select(func.max(AUDIT.c.seq))).scalar() or 0)
    query = select(AUDIT.c.app, AUDIT.c.target, AUDIT.c.time, AUDIT.c.actor_kind).where(AUDIT.c.seq <= last)
    query = query.where(AUDIT.c.time >= since) if after is None else query.where(AUDIT.c.seq > after)
    if after == last:
        return last, []
    rows = connection.execute(query.where(AUDIT.c.action == _REVOKED, AUDIT.c.result == ActOutcome.DONE)).all()
    return last, [row for row in rows if row.app in owners]


def _data(key: KeyRecord) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "last4": key.last4,
        "user": key.user,
        "created_at": key.created_at.isoformat(timespec="seconds"),
        "expires_at": None if key.expires_at is None else key.expires_at.isoformat(timespec="seconds"),
    }
