"""Whether the write-ahead log of a worker is there: what it has admitted by itself is nowhere else."""

from __future__ import annotations

from middlewares.ledger.group_commit.fences import CALL_SECONDS
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import LOG_FOUND
from middlewares.store import Call, ScriptRunner

KEPT_MS = 86_400_000
"""Longer than a share of such a worker can outlive it, which is `hold_ttl`."""


class FoundLogs:
    """Noted in Redis by the worker while it lives, and by whoever finds the log of one that is gone."""

    def __init__(self, runner: ScriptRunner, keys: RedisKeys) -> None:
        self._runner = runner
        self._keys = keys

    async def note(self, incarnation: str, kept_ms: int = KEPT_MS) -> None:
        """Note for so many milliseconds that the log of that worker is there. Raises `StoreError`."""
        await self._call(incarnation, kept_ms)

    async def has(self, incarnation: str) -> bool:
        """Return True if it is there, for all that is known. Raises `StoreError`."""
        return await self._call(incarnation, 0)

    async def _call(self, incarnation: str, kept_ms: int) -> bool:
        call = Call(LOG_FOUND, (self._keys.log_found(incarnation),), (kept_ms,))
        return bool(await self._runner.run(call, deadline=CALL_SECONDS))
