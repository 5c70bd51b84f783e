"""Reads usage events out of history and stream as if they were one: each event once, none missing.

A read begins with a snapshot: the cursor of the stream, which says what the history has. Archived events are read up to
its `seq`, and the stream from its `entry` on. What an archiver does meanwhile is noticed after each chunk of the
stream: where entries may have been trimmed that were not read yet, they are read from the history instead.

The streams of a Redis that has failed over may have lost their end, and filled it with other entries. So a stream whose
server is not that of the cursor is read from its beginning, without the events that the history has.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeVar

from sqlalchemy import Connection

from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import ENCODER
from proxy.control.records import Client
from proxy.history import queries
from proxy.history.batch import START, Entry, read
from proxy.history.belonging import check
from proxy.history.packing import StreamEntry
from proxy.history.queries import PAGE, ArchivedEntry, Cursor
from proxy.history.store import History, HistoryUnavailable

T = TypeVar("T")

ALWAYS = (-(2**62), 2**62)
"""Times of all events, in Unix milliseconds."""

_SERVER = (files(__package__) / "lua" / "server.lua").read_text()


@dataclass(frozen=True, slots=True)
class LedgerSources:
    """Where the ledger's events and totals are."""

    client: Client
    keys: RedisKeys
    history: History


class LedgerEntries:
    """The events of one hash tag, or of one app of it.

    Call `begin`, then `archived`, then `streamed`, which may be called again for what came since. All of them raise
    `HistoryUnavailable` and the errors of the client.
    """

    def __init__(self, sources: LedgerSources, tag: str, app: str | None = None) -> None:
        self.stream = sources.keys.shared(tag).events
        self.position = START
        """The entry up to which the stream was read."""
        self._client: Any = sources.client
        self._history = sources.history
        self._number = sources.keys.tags.index(tag)
        self._app = app
        self._needle = b'"app":' + ENCODER.encode(app) if app is not None else b""
        self._snapshot = _nothing(self._number)
        self._server = ""

    @classmethod
    def of_app(cls, sources: LedgerSources, app: str) -> LedgerEntries:
        """Return the events of one app."""
        return cls(sources, sources.keys.tag(app), app)

    async def begin(self, beside: Callable[[Connection], T]) -> T:
        """Take the snapshot; return what `beside` reads from the history at the same moment."""
        await check(self._client, self._history)
        self._server = await self._current_server()
        self._snapshot, found = await self._history.read(self._look, beside)
        self.position = self._start(self._snapshot)
        return found

    @property
    def snapshot(self) -> Cursor:
        """Return the cursor that says what the history had."""
        return self._snapshot

    async def archived(self, times: tuple[int, int] = ALWAYS) -> AsyncIterator[StreamEntry]:
        """Yield what the history has: of an app by time, of a hash tag in the order of archiving."""
        async for each in self._pages(times, 0, self._snapshot.seq):
            yield str(each.entry).encode(), each.fields

    async def streamed(self) -> AsyncGenerator[StreamEntry, None]:
        """Yield what was not in the history at the snapshot, and was not yielded before, whatever its time."""
        while True:
            chunk: list[StreamEntry] = await self._client.xrange(self.stream, self.position.next, count=PAGE)
            if await self._moved():
                async for entry in self._recover():
                    yield entry
                continue
            for entry in await self._unknown(chunk):
                yield entry
            if chunk:
                self.position = Entry.parse(chunk[-1][0])
            if len(chunk) < PAGE:
                return

    async def complete(self) -> bool:
        """Return True if nothing after `position` can have been trimmed before it was read."""
        return not await self._moved()

    def _look(self, connection: Connection, beside: Callable[[Connection], T]) -> tuple[Cursor, T]:
        found = queries.cursor(connection, self._number) or _nothing(self._number)
        return found, beside(connection)

    async def _moved(self) -> bool:
        now = await self._history.read(queries.cursor, self._number) or _nothing(self._number)
        trimmed = now.server == self._server and now.trimmed > self.position
        return trimmed or now.server != self._snapshot.server

    async def _recover(self) -> AsyncIterator[StreamEntry]:
        """Yield what was archived since the snapshot and not read from the stream; take a new snapshot."""
        before, read_to = self._snapshot, self.position
        if await self._current_server() != self._server:
            raise HistoryUnavailable("Redis was restarted or failed over while its streams were read; try again")
        self._snapshot, _ = await self._history.read(self._look, lambda _: None)
        async for each in self._pages(ALWAYS, before.seq, self._snapshot.seq):
            if each.entry > read_to:
                yield str(each.entry).encode(), each.fields
        self.position = max(read_to, self._start(self._snapshot))

    async def _pages(self, times: tuple[int, int], above: int, up_to: int) -> AsyncIterator[ArchivedEntry]:
        if self._app is not None:
            async for page in app_pages(self._history, self._app, times, (above, up_to)):
                for each in page:
                    yield each
            return
        while True:
            page = await self._history.read(queries.of_tag, self._number, above, up_to)
            for each in page:
                yield each
            if len(page) < PAGE:
                return
            above = page[-1].seq

    async def _unknown(self, chunk: list[StreamEntry]) -> list[StreamEntry]:
        """Return the wanted entries of a chunk that the history did not have at the snapshot."""
        wanted = [(entry, fields) for entry, fields in chunk if self._needle in fields.get(b"event", b"")]
        if not wanted:
            return []
        decoded = read(self._number, wanted)
        known = await self._history.read(queries.known_ids, [each.id for each in decoded], self._snapshot.seq)
        return [
            entry
            for entry, each in zip(wanted, decoded, strict=True)
            if each.id not in known
            and not each.pruned(self._snapshot.pruned)
            and (self._app is None or each.event is None or each.event.app == self._app)
        ]

    def _start(self, cursor: Cursor) -> Entry:
        return cursor.entry if cursor.server == self._server else START

    async def _current_server(self) -> str:
        return await current_server(self._client, self.stream)


async def app_pages(
    history: History, app: str, times: tuple[int, int], seqs: tuple[int, int]
) -> AsyncGenerator[list[ArchivedEntry], None]:
    """Yield the archived events of an app by time, in pages of at most `PAGE`; `times` and `seqs` as `of_app`."""
    place = (times[0], seqs[0])
    while True:
        page = await history.read(queries.of_app, app, times, place, seqs)
        yield page
        if len(page) < PAGE:
            return
        place = (page[-1].time, page[-1].seq)


async def current_server(client: Client, stream: str) -> str:
    """Return the run id of the Redis server that has this stream."""
    reader: Any = client
    found: bytes = await reader.eval(_SERVER, 1, stream)
    return found.decode()


def _nothing(number: int) -> Cursor:
    """Return the cursor of a stream of which nothing was ever archived."""
    return Cursor(tag=number, token=0, server="", entry=START, seq=0, trimmed=START, closed=None)
