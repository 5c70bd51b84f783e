"""What became of a group of settlements whose commit got no reply."""

from __future__ import annotations

from collections.abc import Iterable

from middlewares.ledger.model import Hold
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import FENCE
from middlewares.store import Call, ScriptRunner

KEPT_MS = 3_600_000
"""How long the number of the last group is kept: longer than any call can be on its way."""
ALL_GROUPS = 2**52
CALL_SECONDS = 2.0
"""Limit of time of one question: none of a client, only the committer and the replay of logs wait for it."""


class Fences:
    """Asks Redis whether a group was committed, and bars it where it was not: a late attempt then does nothing."""

    def __init__(self, runner: ScriptRunner, keys: RedisKeys) -> None:
        self._runner = runner
        self._keys = keys

    async def committed(self, tag: str, incarnation: str, number: int) -> bool:
        """Return True if that group of a worker was committed, False if it never will be. Raises `StoreError`."""
        call = Call(FENCE, (self._keys.last_group(tag, incarnation),), (number, KEPT_MS))
        return bool(await self._runner.run(call, deadline=CALL_SECONDS))

    async def bar(self, incarnation: str, holds: Iterable[Hold]) -> None:
        """Bar every group of a worker that is gone, as far as these holds are concerned. Raises `StoreError`."""
        for tag in {self._keys.tag(hold.app) for hold in holds if hold.shared}:
            await self.committed(tag, incarnation, ALL_GROUPS)
