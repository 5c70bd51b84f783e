"""Finds months whose statements are ready: all that happened in them is in the history."""

from __future__ import annotations

from datetime import timedelta

from middlewares.ledger.periods import EPOCH, month_of
from proxy.history.reader import LedgerSources
from proxy.history.status import lag_seconds
from proxy.webhooks.notifications.notification import Notification, NotificationKind
from proxy.webhooks.notifications.round import Addressed, NotifierRound

GRACE_MS = 3_600_000
"""Time after the end of a month in which usage of it may still be written, as after an outage of Redis."""
LOOK_MS = 300_000


class StatementFinder:
    """Notifies of the month before, once, whoever had an endpoint before its end."""

    def __init__(self, sources: LedgerSources) -> None:
        self._sources = sources
        self._looked = 0

    async def find(self, current: NotifierRound) -> list[Addressed]:
        """Return the notifications about the month before this one."""
        owners = current.owners_that_want((NotificationKind.STATEMENT_READY,))
        if not owners or current.now - self._looked < LOOK_MS:
            return []
        self._looked = current.now
        begins = (EPOCH + timedelta(milliseconds=current.now)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        ended = (begins - EPOCH) // timedelta(milliseconds=1)
        if current.now < ended + GRACE_MS or current.now - await lag_seconds(self._sources) * 1_000 < ended:
            return []
        month = month_of(ended - 1)
        period = f"{month[:4]}-{month[4:]}"
        found: list[Addressed] = []
        for owner in owners:
            path = f"/api/v1/apps/{owner}/statements/{period}"
            notification = Notification(
                NotificationKind.STATEMENT_READY, owner, (period,), {"period": period, "path": path}
            )
            found += current.address(notification, happened=ended)
        return found
