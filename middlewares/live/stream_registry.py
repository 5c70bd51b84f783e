"""The registry of BYOC streams in Redis: those that run, and the starts that are on their way to a gateway.

A start is noted before it is forwarded, so that a stream is stopped even where the worker that started it has died.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from middlewares.ledger.concurrency import gather_bounded
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import HELD, STREAMS
from middlewares.ledger.settlement.event import ENCODER
from middlewares.ledger.settlement.settler import SETTLE_SECONDS
from middlewares.store import Call, ScriptRunner

_SEPARATOR = " "
"""Stands between a stream's id and its start's request id in the entry of a start; neither contains it."""


class ActiveStream(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stream that was started at a gateway and not stopped, or a start that was not answered yet."""

    app: str
    gateway: str
    """Origin; of a start, that of the gateway which is tried first."""
    since_ms: int
    """Redis time, Unix milliseconds."""
    session: str = ""
    """Id of its session, which is that of the request which starts it."""
    starting: bool = False
    """True until the gateway has responded to the start."""
    fallbacks: tuple[str, ...] = ()
    """Origins of the gateways that a start may reach if the first cannot be connected to."""

    @property
    def gateways(self) -> tuple[str, ...]:
        """Origins of all gateways where it may run."""
        return self.gateway, *self.fallbacks


_DECODE = msgspec.json.Decoder(ActiveStream).decode

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.streams")


def start_entry(stream: str, request_id: str) -> str:
    """Return the name under which a start of the stream is noted; a stream that runs has its id as its name."""
    return f"{stream}{_SEPARATOR}{request_id}"


def stream_of(entry: str) -> str:
    """Return the stream id in the name of an entry."""
    return entry.partition(_SEPARATOR)[0]


class StreamRegistry:
    """The registered streams of all apps. Every method raises `StoreError`."""

    def __init__(self, runner: ScriptRunner, keys: RedisKeys) -> None:
        self._runner = runner
        self._keys = keys
        self._unreadable: set[bytes] = set()
        """Entries that were reported as such."""

    async def record(self, entry: str, active: ActiveStream) -> None:
        """Register a stream or a start."""
        await self._change(active.app, entry, ENCODER.encode(active))

    async def forget(self, app: str, entry: str) -> None:
        """Remove a stream or a start; one that is not there is no error."""
        await self._change(app, entry)

    async def all(self) -> Mapping[str, ActiveStream]:
        """Return every entry by its name, but for those that cannot be read: one of them keeps no other from it."""
        found: dict[str, ActiveStream] = {}
        for reply in await gather_bounded(self._list, self._keys.tags):
            for entry, text in zip(reply[::2], reply[1::2], strict=True):
                try:
                    found[entry.decode()] = _DECODE(text)
                except (UnicodeDecodeError, msgspec.DecodeError) as error:
                    if entry not in self._unreadable:
                        self._unreadable.add(entry)
                        log.warning("stream_entry_unreadable", entry=repr(entry), reason=str(error))
        return found

    async def is_being_started(self, active: ActiveStream) -> bool:
        """Return True if the request that starts a stream is still served: its worker renews its hold."""
        holds = self._keys.shared(self._keys.tag(active.app)).holds
        return bool(await self._runner.run(Call(HELD, (holds,), (active.session,)), deadline=SETTLE_SECONDS))

    async def _change(self, app: str, entry: str, *value: bytes) -> None:
        key = self._keys.streams(self._keys.tag(app))
        await self._runner.run(Call(STREAMS, (key,), (entry, *value)), deadline=SETTLE_SECONDS)

    async def _list(self, tag: str) -> Any:
        return await self._runner.run(Call(STREAMS, (self._keys.streams(tag),)), deadline=SETTLE_SECONDS)
