"""Running totals of closed days, which stand in the history alone: they must be those of the archived events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from datetime import date

from sqlalchemy import Connection

from proxy.history import queries
from proxy.history.batch import day_of
from proxy.history.queries import Cursor
from proxy.history.reader import LedgerSources
from proxy.history.totals.total import Total, compact
from proxy.reporting.verify.difference import Difference

_USAGE = "usage:"


class ClosedDays:
    """Compares the closed days of each hash tag; `has` says which hashes of Redis are of such days."""

    def __init__(self, sources: LedgerSources) -> None:
        self.differences: list[Difference] = []
        self.compared = 0
        """Number of totals that were compared."""
        self._keys = sources.keys
        self.pruned = 0
        """Number of totals that no events explain any more, as these were pruned."""
        self._history = sources.history
        self._closed: dict[str, str] = {}

    def totals(self, connection: Connection, tag: str) -> dict[Total, int]:
        """Return the totals of a hash tag's closed days."""
        closed = queries.closed_day(connection, self._keys.tags.index(tag))
        if closed is None:
            return {}
        apps = [app for app in queries.apps(connection) if self._keys.tag(app) == tag]
        return {key: number for app in apps for key, number in queries.totals(connection, app, date.min, closed)}

    def compare(self, tag: str, cursor: Cursor, expected: Mapping[Total, int], archived: Mapping[Total, int]) -> None:
        """Compare the totals of a hash tag's closed days with those that its archived events give.

        Days whose events may be pruned are not compared: nothing but the totals is left of them.
        """
        closed, kept = cursor.closed, day_of(cursor.pruned)
        if closed is None:
            return
        self._closed[tag] = compact(closed)
        self.pruned += sum(total.day < kept for total in archived)
        found = {total: number for total, number in archived.items() if total.day >= kept}
        of_closed_days = {total: number for total, number in expected.items() if kept <= total.day <= closed}
        self.compared += len(of_closed_days.keys() | found.keys())
        for total in sorted(of_closed_days.keys() | found.keys()):
            if of_closed_days.get(total, 0) != found.get(total, 0):
                where = f"{self._keys.usage(total.app, compact(total.day))} {total.field}"
                difference = Difference("usage", where, of_closed_days.get(total, 0), found.get(total, 0))
                self.differences.append(difference)

    def has(self, key: str) -> bool:
        """Return True if a key is the hash of a closed day; what is in it was written late, and is archived soon."""
        tag, brace, name = key.partition("}:")
        closed = self._closed.get(tag + brace)
        return closed is not None and name.startswith(_USAGE) and name.rpartition(":")[2] <= closed

    async def refresh(self, tags: Iterable[str]) -> None:
        """Take note of days that were closed since: their hashes may be gone."""
        for tag in tags:
            closed = await self._history.read(queries.closed_day, self._keys.tags.index(tag))
            if closed is not None:
                self._closed[tag] = compact(closed)

    def take_from(self, totals: MutableMapping[tuple[str, str], int]) -> None:
        """Remove the totals of closed days: they are not compared with Redis."""
        for place in [place for place in totals if self.has(place[0])]:
            del totals[place]
