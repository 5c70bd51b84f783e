"""Writes what leaves wallets when their lots expire, so that events and statements have it without any request."""

from __future__ import annotations

import asyncio
from functools import partial

from middlewares.ledger.concurrency import gather_bounded
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import DUE, EXPIRE
from middlewares.store import Call, ScriptRunner, StoreError

BATCH = 200
PERIOD_SECONDS = 5.0
"""Only events wait for it: whoever asks about a wallet has it without what has expired."""


class LotExpiry:
    """Looks for wallets of which a lot has expired."""

    def __init__(self, runner: ScriptRunner, keys: RedisKeys) -> None:
        self._runner = runner
        self._keys = keys

    async def run(self) -> None:
        """Look again and again until cancelled, also after the store was away."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            try:
                await self.sweep()
            except StoreError:  # the breaker has logged it
                continue

    async def sweep(self) -> int:
        """Write what has expired; return the number of wallets. Raises `StoreError`."""
        return sum(await gather_bounded(self._sweep, self._keys.tags))

    async def _sweep(self, tag: str) -> int:
        total = 0
        while True:
            wallets: list[bytes] = await self._runner.run(Call(DUE, (self._keys.expiring(tag),), (BATCH,)))
            await gather_bounded(partial(self._expire, tag), wallets)
            total += len(wallets)
            if len(wallets) < BATCH:
                return total

    async def _expire(self, tag: str, wallet: bytes) -> None:
        keys = wallet, self._keys.shared(tag).events, self._keys.expiring(tag)
        await self._runner.run(Call(EXPIRE, keys))
