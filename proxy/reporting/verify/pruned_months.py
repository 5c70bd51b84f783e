"""Months whose events were pruned: of them the history has sums alone."""

from __future__ import annotations

from sqlalchemy import Connection

from proxy.history import queries
from proxy.history.batch import Movement, day_of
from proxy.history.reader import LedgerSources
from proxy.history.totals.total import compact

PrunedWallets = dict[tuple[str, str], Movement]
"""Sums of wallets by app and user; empty is the wallet of the app."""

_USED = "used:"


class PrunedMonths:
    """Remembers up to where the events of each hash tag were pruned when they were read."""

    def __init__(self, sources: LedgerSources) -> None:
        self._keys = sources.keys
        self._history = sources.history
        self._boundaries: dict[str, int] = {}

    def wallets(self, connection: Connection, tag: str) -> PrunedWallets:
        """Note the boundary of a hash tag; return what events before it changed in wallets."""
        cursor = queries.cursor(connection, self._keys.tags.index(tag))
        boundary = self._boundaries[tag] = cursor.pruned if cursor else 0
        if not boundary:
            return {}
        apps = [app for app in queries.wallet_apps(connection) if self._keys.tag(app) == tag]
        return {
            (app, user): movement
            for app in apps
            for user, movement in queries.wallets_before(connection, app, day_of(boundary)).items()
        }

    @property
    def kept_from(self) -> str:
        """Return the first day of which every hash tag has all events; empty: nothing was pruned."""
        latest = max(self._boundaries.values(), default=0)
        return day_of(latest).isoformat() if latest else ""

    def has(self, total: tuple[str, str]) -> bool:
        """Return True if a count of a cap or allowance is of a pruned month."""
        key, field = total
        if not field.startswith(_USED):
            return False
        tag = key.partition("}:")[0] + "}:"
        # a limit over all apps counts events of every hash tag
        boundary = self._boundaries.get(tag, max(self._boundaries.values(), default=0))
        period = field.removeprefix(_USED)
        return period < compact(day_of(boundary))[: len(period)]

    async def moved(self) -> bool:
        """Return True if more was pruned since."""
        now = await self._history.read(queries.cursors)
        return any(
            found.pruned != self._boundaries.get(self._keys.tags[number], 0)
            for number, found in now.items()
            if number < len(self._keys.tags)
        )
