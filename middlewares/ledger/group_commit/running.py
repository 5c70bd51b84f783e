"""Shows what a worker runs: holds of requests admitted from a share are in its log alone, where nobody else looks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import takewhile
from typing import Any

import msgspec

from middlewares.ledger.clock import RedisClock
from middlewares.ledger.model import Hold
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import SHOW
from middlewares.store import Call, ScriptRunner

PERIOD_SECONDS = 1.0
SHOWN_AFTER_MS = 1_000
"""Most requests have ended by then, and are never shown."""
LIFE_MS = 5_000
"""For how long they count as running although the worker shows nothing any more."""
MOST_SHOWN = 1_000
"""So many of one hash tag, its oldest, so that no call is large."""


class ShownHolds(msgspec.Struct):
    """What one worker runs of one hash tag."""

    until_ms: int
    """Redis time in Unix milliseconds after which nothing is known of it."""
    holds: tuple[Hold, ...]


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(ShownHolds)


class RunningHolds:
    """The holds of one worker that it shows."""

    def __init__(self, runner: ScriptRunner, keys: RedisKeys, clock: RedisClock, incarnation: str) -> None:
        """`incarnation`: name of this worker in Redis, which no other has ever had."""
        self._runner = runner
        self._keys = keys
        self._clock = clock
        self._incarnation = incarnation
        self._running: dict[str, Hold] = {}
        """By request id; the oldest first."""
        self._shown: set[str] = set()
        """Hash tags of which something is shown."""

    def add(self, hold: Hold) -> None:
        """Show it, once it has run for long."""
        self._running[hold.request_id] = hold

    def discard(self, request_id: str) -> None:
        """Show it no more; nothing where that is so already."""
        self._running.pop(request_id, None)

    async def show(self) -> None:
        """Show what runs now. Raises `StoreError`."""
        if not self._clock.known:
            return
        now = self._clock.now_ms()
        by_tag: defaultdict[str, list[Hold]] = defaultdict(list)
        for hold in takewhile(lambda each: each.started_ms <= now - SHOWN_AFTER_MS, self._running.values()):
            by_tag[self._keys.tag(hold.app)].append(hold)
        for tag in by_tag.keys() | self._shown:
            await self._show(tag, ShownHolds(now + LIFE_MS, tuple(by_tag[tag][:MOST_SHOWN])))

    async def _show(self, tag: str, shown: ShownHolds) -> None:
        text = _ENCODER.encode(shown) if shown.holds else b""
        await self._runner.run(Call(SHOW, (self._keys.running(tag),), (self._incarnation, text, LIFE_MS)))
        if text:
            self._shown.add(tag)
        else:
            self._shown.discard(tag)


def shown_by_workers(values: Sequence[Any], now_ms: int) -> Collection[ShownHolds]:
    """Return what the values of a hash `RedisKeys.running` say, but for those of workers that show nothing any more."""
    return [each for each in map(_DECODER.decode, values) if each.until_ms > now_ms]
