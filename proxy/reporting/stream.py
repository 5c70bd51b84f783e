"""Reads usage events from history and streams."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from sqlalchemy import Connection

from middlewares.ledger.settlement.event import DECODER, Event
from proxy.history.packing import Fields, StreamEntry
from proxy.history.reader import LedgerEntries, LedgerSources
from proxy.reporting.dates import Days

T = TypeVar("T")

_AMOUNT = re.compile(rb"-?[0-9]+")


class UnreadableEvent(Exception):
    """An entry of a stream is no usage event."""


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """A usage event in the stream, with its amount and wallet."""

    event: Event
    amount: str
    """Decimal string of atomic units."""
    wallet: str = ""
    """Wallet that the event changed, `app` or `user`; empty: none."""
    gross: str = ""
    """The amount without what included money has paid of it; empty: none was included."""


def decode(stream: str, entry: bytes, fields: Fields) -> RecordedEvent:
    """Return the event of one entry. Raises `UnreadableEvent`, which names stream and entry."""
    amount = fields.get(b"amount", b"")
    try:
        if not _AMOUNT.fullmatch(amount):
            raise UnreadableEvent(f"entry {entry.decode()} of {stream} has no amount")
        event = DECODER.decode(fields.get(b"event", b""))
        wallet, gross = fields.get(b"wallet", b"").decode(), fields.get(b"gross", b"").decode()
        return RecordedEvent(event, amount.decode(), wallet, gross)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableEvent(f"entry {entry.decode()} of {stream} is no usage event: {error}") from None


def _raise(error: UnreadableEvent) -> None:
    raise error


class AppEvents:
    """The events of one app, out of history and stream.

    Archived events come in the order of their times, those after them in the order in which they were written, which is
    not always the same: events that waited in a journal come late. So a span is read to the end of the stream.
    """

    def __init__(self, sources: LedgerSources, app: str) -> None:
        self._entries = LedgerEntries.of_app(sources, app)
        self._begun = False

    async def begin(self, beside: Callable[[Connection], T]) -> T:
        """Begin to read, and return what `beside` reads from the history at the same moment."""
        self._begun = True
        return await self._entries.begin(beside)

    @property
    def pruned_ms(self) -> int:
        """Return the Unix milliseconds before which events may be pruned, as of `begin`; 0: nothing was."""
        return self._entries.snapshot.pruned

    async def read(
        self, days: Days, unreadable: Callable[[UnreadableEvent], None] = _raise
    ) -> AsyncGenerator[RecordedEvent, None]:
        """Yield the events of these days, and later those that were written since the last `read`.

        `unreadable` is called for each entry that is no event.
        """
        if not self._begun:
            await self.begin(lambda _: None)
            async for recorded in self._decoded(self._entries.archived((days.start_ms, days.end_ms)), unreadable):
                yield recorded
        async for recorded in self.late(unreadable):
            if recorded.event.time in days:
                yield recorded

    async def archived(self, days: Days) -> AsyncGenerator[RecordedEvent, None]:
        """Yield the events of these days that the history has. Raises `UnreadableEvent`."""
        async for recorded in self._decoded(self._entries.archived((days.start_ms, days.end_ms)), _raise):
            yield recorded

    async def late(self, unreadable: Callable[[UnreadableEvent], None] = _raise) -> AsyncGenerator[RecordedEvent, None]:
        """Yield events of any time that the history did not have when the read began, and that were not yielded yet."""
        async for recorded in self._decoded(self._entries.streamed(), unreadable):
            yield recorded

    async def _decoded(
        self, entries: AsyncIterator[StreamEntry], unreadable: Callable[[UnreadableEvent], None]
    ) -> AsyncIterator[RecordedEvent]:
        async for entry, fields in entries:
            try:
                recorded = decode(self._entries.stream, entry, fields)
            except UnreadableEvent as error:
                unreadable(error)
                continue
            yield recorded
