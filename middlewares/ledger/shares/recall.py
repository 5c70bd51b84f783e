"""Calls back the shares of a limit that has refused somebody."""

from __future__ import annotations

from collections.abc import Sequence

from middlewares.ledger.scripts import RECALL
from middlewares.store import Call, ScriptRunner

RECALL_MS = 500
"""For how long nobody takes a share of a limit that was called back."""


async def recall(runner: ScriptRunner, keys: Sequence[str]) -> int:
    """Have workers give back what they do not use of a limit, by the keys of its rule; return how many have a share.

    Raises `StoreError`.
    """
    workers: int = await runner.run(Call(RECALL, keys, (RECALL_MS,)))
    return workers
