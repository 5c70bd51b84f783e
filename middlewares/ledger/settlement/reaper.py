"""Ends the holds whose owner is gone: a worker killed while a request ran, a live stream no longer reported."""

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
from middlewares.ledger.shares.share import worker_of
from middlewares.store import Call, ScriptRunner, StoreError, StoreRejected

BATCH = 200
PERIOD_SECONDS = 0.25
GRACE_SECONDS = 2.0
"""After Redis was away, workers get this long to reconnect, to renew their holds and to write what they journaled."""
POSTPONE_MS = 60_000
"""A hold that cannot be ended is tried again after so long."""
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
        """`on_orphan` is called with every hold that was ended, `on_lost` with the reason why one cannot be."""
        self._runner = runner
        self._keys = keys
        self._settler = settler
        self._on_orphan = on_orphan
        self._on_lost = on_lost

    async def run(self) -> None:
        """Reap until cancelled, also after the store was away."""
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
        """End every hold that has expired; return how many. Raises `StoreError`."""
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
        call = Call(EXPIRED, (shared.holds, shared.bodies), (BATCH,))
        reply: list[Any] = await self._runner.run(call, deadline=SETTLE_SECONDS)
        return reply

    async def _end(self, tag: str, now: int, expired: tuple[bytes, bytes]) -> bool:
        request_id, body = expired
        try:
            hold = _DECODE(body)
            lost = await self._lost(hold)
            if not await self._settler.reap(orphan(hold, now)):
                return False
        except (msgspec.DecodeError, StoreRejected) as error:
            self._on_lost(f"the expired hold of request {request_id.decode()} cannot be ended: {error}")
            await self._postpone(tag, request_id)
            return False
        if not hold.silent:
            self._on_orphan(hold)
        elif lost:
            self._on_lost(lost)
        return True

    async def _lost(self, hold: Hold) -> str:
        """Return what is lost if this expired hold is a share whose worker is gone with its log; empty: nothing."""
        if not (hold.entry and hold.shared) or await self._settler.found_logs.has(worker := worker_of(hold.share)):
            return ""
        return (
            f"a share of app {hold.app} under {hold.plan} was never returned, and the log of its worker, "
            f"{worker}.journal, was not found: what that ran, and what ended in its last moments, has no event until "
            "its data_dir is back"
        )

    async def _postpone(self, tag: str, request_id: bytes) -> None:
        """Renew a hold that cannot be ended, so that it does not keep the others from their turn."""
        holds = self._keys.shared(tag).holds
        await self._runner.run(Call(RENEW, (holds,), (request_id, POSTPONE_MS)), deadline=SETTLE_SECONDS)
