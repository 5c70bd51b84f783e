"""Ends the holds of the dead: workers that were killed while a request ran."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec

from middlewares.ledger.keys import Keys
from middlewares.ledger.model import Hold
from middlewares.ledger.port import ScriptRunner, StoreError
from middlewares.ledger.scripts import EXPIRED
from middlewares.ledger.settler import Settler, orphan

BATCH = 200
PERIOD_SECONDS = 0.25
_DECODE = msgspec.json.Decoder(Hold).decode


class Reaper:
    """Looks for expired holds a few times a second and settles each at its plan's declared policy."""

    def __init__(self, runner: ScriptRunner, keys: Keys, settler: Settler, on_orphan: Callable[[Hold], None]) -> None:
        self._runner = runner
        self._keys = keys
        self._settler = settler
        self._on_orphan = on_orphan

    async def run(self) -> None:
        """Reap until cancelled. A store that is away is simply asked again."""
        while True:
            with suppress(StoreError):  # the breaker has logged it
                await self.sweep()
            await asyncio.sleep(PERIOD_SECONDS)

    async def sweep(self) -> int:
        """End every hold that has expired; how many. Raises `StoreError`."""
        return sum(await asyncio.gather(*(self._sweep(tag) for tag in self._keys.tags)))

    async def _sweep(self, tag: str) -> int:
        shared = self._keys.shared(tag)
        ended = 0
        while True:
            now, *pairs = await self._runner.run(EXPIRED, [shared.holds, shared.bodies], [BATCH])
            for body in pairs[1::2]:
                ended += await self._end(body, now)
            if len(pairs) < 2 * BATCH:
                return ended

    async def _end(self, body: bytes, now: int) -> bool:
        hold = _DECODE(body)
        if not await self._settler.reap(orphan(hold, now)):
            return False
        self._on_orphan(hold)
        return True
