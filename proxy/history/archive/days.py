"""Moves the running totals of old days out of Redis: from then on they stand in the history alone.

A day is closed first, in the history, and its hash in Redis deleted after that. So a reader that finds the day closed
never needs the hash, and one that does not find it closed still has it. An event that comes later for a closed day
makes a new hash, with nothing else in it; it is deleted as soon as the event is archived.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from middlewares.ledger.settlement.settle_call import totals_of
from proxy.history import queries, writes
from proxy.history.archive.context import TagContext
from proxy.history.batch import TotalOf, day_of
from proxy.history.queries import Cursor


class DayCloser:
    """Closes the days of one hash tag."""

    def __init__(self, context: TagContext) -> None:
        self._client: Any = context.client
        self._keys = context.keys
        self._number = context.number
        self._history = context.history
        self._kept = timedelta(days=context.settings.keep_totals_days)
        self._observer = context.observer
        self._differing: set[tuple[str, date]] = set()

    async def close(self, cursor: Cursor, now_ms: int) -> Cursor:
        """Close the days that are old enough, of a stream that was just archived to its end; return the cursor."""
        last = day_of(now_ms) - self._kept
        left = await self._history.read(queries.redis_days, self._number, last)
        left = [each for each in left if each not in self._differing]
        if not left:
            return cursor
        fresh = [each for each in left if cursor.closed is None or each[1] > cursor.closed]
        for app, day in fresh:
            if await self._differs(app, day):
                self._differing.add((app, day))
                self._observer.totals_differ(app, day.isoformat())
        if cursor.closed is None or last > cursor.closed:
            cursor = await self._history.write(writes.close_days, self._number, cursor.token, last)
        gone = [each for each in left if each not in self._differing]
        for app, day in gone:
            await self._client.unlink(self._keys.usage(app, compact(day)))
        await self._history.write(writes.forget_redis_days, self._number, gone)
        return cursor

    async def _differs(self, app: str, day: date) -> bool:
        """Return True if Redis has more of a day than the history: its events were removed by somebody."""
        read: Mapping[bytes, bytes] = await self._client.hgetall(self._keys.usage(app, compact(day)))
        if not read:
            return False
        archived = await self._history.read(queries.totals, app, day, day)
        return {name.decode(): int(number) for name, number in read.items() if int(number)} != {
            field_of(key): number for key, number in archived if number
        }


def compact(day: date) -> str:
    """Return the day as in the keys of the ledger, `20261121`."""
    return day.isoformat().replace("-", "")


def field_of(total: TotalOf) -> str:
    """Return the field that holds a running total in the ledger's hash of the day."""
    _, _, user, key, workload, model, what = total
    return totals_of(user, key, workload, model) + what
