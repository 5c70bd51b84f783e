"""Moves the running totals of old days out of Redis: from then on they stand in the history alone.

A day is closed first, in the history, and its hash in Redis deleted after that. So a reader that finds the day closed
never needs the hash, and one that does not find it closed still has it. An event that comes later for a closed day
makes a new hash, with nothing else in it; it is deleted as soon as the event is archived.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from importlib.resources import files
from typing import Any

from proxy.history import queries, writes
from proxy.history.archive.context import TagContext
from proxy.history.batch import Sums, day_of, read
from proxy.history.queries import PAGE, Cursor
from proxy.history.totals.total import Total, compact, parse_field

_DAY = (files("proxy.history") / "lua" / "day.lua").read_text()


class DayCloser:
    """Closes the days of one hash tag."""

    def __init__(self, context: TagContext) -> None:
        self._client: Any = context.client
        self._keys = context.keys
        self._number = context.number
        self._stream = context.stream
        self._history = context.history
        self._kept = timedelta(days=context.settings.keep_totals_days)
        self._observer = context.observer
        self._none_left: tuple[Cursor, date] | None = None

    async def close(self, cursor: Cursor, now_ms: int) -> Cursor:
        """Close the days that are old enough, of a stream that was just archived to its end; return the cursor."""
        last = day_of(now_ms) - self._kept
        if (cursor, last) == self._none_left:
            return cursor  # only an event that is archived adds to the days, and none was
        left = await self._history.read(queries.redis_days, self._number, last)
        if not left:
            if cursor.closed is not None and last > cursor.closed:  # else an idle tag's last month is never pruned
                cursor = await self._history.write(writes.close_days, self._number, cursor.token, last, {})
            self._none_left = cursor, last
            return cursor
        if cursor.closed is None or last > cursor.closed:
            differences: dict[Total, int] = {}
            for app, day in left:
                if cursor.closed is None or day > cursor.closed:
                    more = await self._differences(app, day, cursor)
                    if more is None:
                        return cursor  # too much has come in the meantime
                    differences |= more
            surplus = {total: number for total, number in differences.items() if number > 0}
            cursor = await self._history.write(writes.close_days, self._number, cursor.token, last, surplus)
            for app, day in sorted({(total.app, total.day) for total in differences}):
                self._observer.totals_differ(app, day.isoformat())
        for app, day in left:
            await self._client.unlink(self._keys.usage(app, compact(day)))
        await self._history.write(writes.forget_redis_days, self._number, left)
        return cursor

    async def _differences(self, app: str, day: date, cursor: Cursor) -> dict[Total, int] | None:
        """Return what Redis has counted for a day less what all events give.

        More is of a stream that somebody trimmed by hand. It goes into the history, so that nothing is lost; `verify`
        finds it there as it found it in Redis. Less is of a Redis that lost its last moments, of which the history has
        the events: these count. None: it cannot be said, as more than `PAGE` events are not archived yet.
        """
        key = self._keys.usage(app, compact(day))
        flat, entries = await self._client.eval(_DAY, 2, key, self._stream, cursor.entry.next, PAGE)
        if not flat:
            return {}
        if len(entries) == PAGE:
            return None
        counted = Sums()
        late = [(entry, dict(zip(fields[::2], fields[1::2], strict=True))) for entry, fields in entries]
        for each in read(self._number, late):
            counted.add(each)
        expected = Counter(counted.totals)
        expected.update(dict(await self._history.read(queries.totals, app, day, day)))
        found: Counter[Total] = Counter()
        for name, number in zip(flat[::2], flat[1::2], strict=True):
            found[parse_field(app, day, name.decode())] += int(number)
        return {total: number - expected[total] for total, number in found.items() if number != expected[total]}
