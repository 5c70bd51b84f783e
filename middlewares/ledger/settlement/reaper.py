"""Ends the holds of the dead: workers that were killed while a request ran, live streams that are not reported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from middlewares.ledger.concurrency import gather_bounded
from middlewares.ledger.model import Hold
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import EXPIRED, RENEW
from middlewares.ledger.settlement.settler import SETTLE_SECONDS, Settler, orphan
from middlewares.store import ScriptRunner, StoreError, StoreRejected

BATCH = 200
PERIOD_SECONDS = 0.25
GRACE_SECONDS = 2.0
"""After Redis was away, the living get this long to be back, to renew their holds and to write what they journaled."""
POSTPONE_MS = 60_000
_DECODE = msgspec.json.Decoder(Hold).decode


class Reaper:
    """Looks for expired holds a few times a second and settles each at its plan's declared policy."""

    def __init__(
        self,
        runner: ScriptRunner,
        keys: RedisKeys,
        settler: Settler,
        on_orphan: Callable[[Hold], None],
        on_lost: Callable[[str], None],
    ) -> None:
        """`on_orphan` hears of every hold that was ended, `on_lost` why one cannot be: a person has to look at it."""
        self._runner = runner
        self._keys = keys
        self._settler = settler
        self._on_orphan = on_orphan
        self._on_lost = on_lost

    async def run(self) -> None:
        """Reap until cancelled. A store that is away is simply asked again."""
        away = False
        while True:
            try:
                if away:
                    await gather_bounded(self._expired, self._keys.tags)
                    await asyncio.sleep(GRACE_SECONDS)
                await self.sweep()
                away = False
            except StoreError:  # the breaker has logged it
                away = True
            await asyncio.sleep(PERIOD_SECONDS)

    async def sweep(self) -> int:
        """End every hold that has expired; how many. Raises `StoreError`."""
        return sum(await gather_bounded(self._sweep, self._keys.tags))

    async def _sweep(self, tag: str) -> int:
        total = 0
        while True:
            now, *pairs = await self._expired(tag)
            found = list(zip(pairs[::2], pairs[1::2], strict=True))
            total += sum(await gather_bounded(partial(self._end, tag, now), found))
            if len(found) < BATCH:
                return total

    async def _expired(self, tag: str) -> list[Any]:
        shared = self._keys.shared(tag)
        reply: list[Any] = await self._runner.run(
            EXPIRED, [shared.holds, shared.bodies], [BATCH], deadline=SETTLE_SECONDS
        )
        return reply

    async def _end(self, tag: str, now: int, expired: tuple[bytes, bytes]) -> bool:
        request_id, body = expired
        try:
            hold = _DECODE(body)
            if not await self._settler.reap(orphan(hold, now)):
                return False
        except (msgspec.DecodeError, StoreRejected) as error:
            self._on_lost(f"the expired hold of request {request_id.decode()} cannot be ended: {error}")
            await self._postpone(tag, request_id)
            return False
        if not hold.part:
            self._on_orphan(hold)
        return True

    async def _postpone(self, tag: str, request_id: bytes) -> None:
        """Out of the way of the others, but not forgotten."""
        holds = self._keys.shared(tag).holds
        await self._runner.run(RENEW, [holds], [request_id, POSTPONE_MS], deadline=SETTLE_SECONDS)
