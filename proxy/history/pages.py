"""Reads the events of one app page by page, by readers that keep nothing between two pages but a `EventPlace`.

A place says what was read: archived events up to one of them, then the stream up to one of its entries. Where entries
of the stream may have been archived and trimmed before a reader came to them, it reads them from the history.
"""

from __future__ import annotations

import msgspec

from proxy.history import queries
from proxy.history.batch import START, Entry
from proxy.history.belonging import check
from proxy.history.packing import StreamEntry
from proxy.history.places import Number
from proxy.history.queries import PAGE
from proxy.history.reader import LedgerEntries


class StalePlace(Exception):
    """The reader has to begin again: Redis was restarted, or failed over, and its entries are others now."""


Entries = list[StreamEntry]


class EventPlace(msgspec.Struct, frozen=True, array_like=True):
    """How far a reader has come."""

    server: str
    """Run id of the Redis server whose stream it reads."""
    above: Number
    """Events of the history are read from above this `seq`..."""
    up_to: Number
    """...up to this one."""
    time: Number
    """Time and `seq` of the last of them that was read."""
    seq: Number
    archived: bool
    """True: all of them were read."""
    skipped: tuple[Number, Number]
    """Entry up to which the stream had been read before, so that archived events up to it are not wanted."""
    position: tuple[Number, Number]
    """Entry up to which the stream was read."""


class AppPages(LedgerEntries):
    """Pages of the events of one app. Raises what `LedgerEntries` does, and `StalePlace`."""

    async def page(self, times: tuple[int, int], place: EventPlace | None, limit: int) -> tuple[Entries, EventPlace]:
        """Return the next entries, at most `limit`, and the place behind them.

        `times` are the first Unix millisecond and the first that is not wanted any more. They bound archived events
        only: the caller leaves out what else is not of that time. A page may be empty before the end.
        """
        await check(self._client, self._history)
        self._server = await self._current_server()
        if place is None:
            place = await self._first(times)
        elif place.server != self._server:
            raise StalePlace
        if not place.archived:
            return await self._archived_page(times, place, limit)
        return await self._stream_page(times, place, limit)

    async def at_end(self, place: EventPlace) -> bool:
        """Return True if nothing was written behind this place."""
        return place.archived and not await self._client.xrange(self.stream, Entry(*place.position).next, count=1)

    async def _first(self, times: tuple[int, int]) -> EventPlace:
        snapshot, _ = await self._history.read(self._look, lambda _: None)
        start = self._start(snapshot)
        return EventPlace(
            server=self._server,
            above=0,
            up_to=snapshot.seq,
            time=times[0],
            seq=0,
            archived=False,
            skipped=(START.ms, START.seq),
            position=(start.ms, start.seq),
        )

    async def _archived_page(self, times: tuple[int, int], place: EventPlace, limit: int) -> tuple[Entries, EventPlace]:
        after, seqs = (place.time, place.seq), (place.above, place.up_to)
        found = await self._history.read(queries.of_app, self._app or "", times, after, seqs)
        chosen = found[:limit]
        last = (chosen[-1].time, chosen[-1].seq) if chosen else after
        complete = len(chosen) == len(found) < PAGE
        place = msgspec.structs.replace(place, time=last[0], seq=last[1], archived=complete)
        wanted = [each for each in chosen if each.entry > Entry(*place.skipped)]
        return [(str(each.entry).encode(), each.fields) for each in wanted], place

    async def _stream_page(self, times: tuple[int, int], place: EventPlace, limit: int) -> tuple[Entries, EventPlace]:
        position = Entry(*place.position)
        chunk: Entries = await self._client.xrange(self.stream, position.next, count=PAGE)
        snapshot, _ = await self._history.read(self._look, lambda _: None)
        if snapshot.server == self._server and snapshot.trimmed > position:  # before it was read
            resumed = max(position, snapshot.entry)
            place = msgspec.structs.replace(
                place,
                above=place.up_to,
                up_to=snapshot.seq,
                time=times[0],
                seq=place.up_to,
                archived=False,
                skipped=place.position,
                position=(resumed.ms, resumed.seq),
            )
            return await self._archived_page(times, place, limit)
        self._snapshot = snapshot.replace(seq=place.up_to)
        wanted = await self._unknown(chunk)
        cut = len(wanted) > limit
        last = wanted[limit - 1] if cut else chunk[-1] if chunk else None
        if last is not None:
            entry = Entry.parse(last[0])
            place = msgspec.structs.replace(place, position=(entry.ms, entry.seq))
        return wanted[:limit], place
