"""Reads usage events from their streams."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import DECODER, ENCODER, Event
from proxy.control.records import Client
from proxy.reporting.dates import Days

Fields = Mapping[bytes, bytes]

CHUNK = 1_000
"""Entries read at a time, which bounds the memory of a reader."""

_EARLY_MS = 86_400_000
"""How much earlier than its event an entry may be dated, if a machine's clock was ahead of Redis."""

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


def decode(stream: str, entry: bytes, fields: Fields) -> RecordedEvent:
    """Return the event of one entry. Raises `UnreadableEvent`, which names stream and entry."""
    amount = fields.get(b"amount", b"")
    try:
        if not _AMOUNT.fullmatch(amount):
            raise UnreadableEvent(f"entry {entry.decode()} of {stream} has no amount")
        event = DECODER.decode(fields.get(b"event", b""))
        return RecordedEvent(event, amount.decode(), fields.get(b"wallet", b"").decode())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableEvent(f"entry {entry.decode()} of {stream} is no usage event: {error}") from None


class AppEvents:
    """The events of one app, out of a stream that it may share with other apps.

    Events are in the order in which they were written, which is not always that of their times: events that waited in a
    journal come late. So a span is read to the end of the stream.
    """

    def __init__(self, client: Client, keys: RedisKeys, app: str) -> None:
        self._client = client
        self._app = app
        self._needle = b'"app":' + ENCODER.encode(app)
        self.stream = keys.shared(keys.tag(app)).events
        self.position = "-"
        """Position at which the next `read` continues."""

    def start_at(self, time_ms: int) -> None:
        """Skip events that were written well before that time."""
        self.position = str(max(0, time_ms - _EARLY_MS))

    async def read(self, days: Days | None = None) -> AsyncGenerator[RecordedEvent, None]:
        """Yield the events of these days that were written since the last `read`. Raises `UnreadableEvent`."""
        while True:
            reply: Any = await self._client.xrange(self.stream, self.position, count=CHUNK)
            chunk: list[tuple[bytes, Fields]] = reply
            for entry, fields in chunk:
                self.position = f"({entry.decode()}"
                if self._needle not in fields.get(b"event", b""):
                    continue
                recorded = decode(self.stream, entry, fields)
                if recorded.event.app == self._app and (days is None or recorded.event.time in days):
                    yield recorded
            if len(chunk) < CHUNK:
                return


async def events_of(client: Client, keys: RedisKeys, app: str, days: Days) -> AsyncIterator[RecordedEvent]:
    """Yield every event of these days, in the order of the stream. Raises `UnreadableEvent`."""
    events = AppEvents(client, keys, app)
    events.start_at(days.start_ms)
    async for recorded in events.read(days):
        yield recorded
