"""A history in a file beside what a test does to Redis, for tests of what reads both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from config.plans import Plan
from config.settings import Settings
from middlewares.ledger.redis_keys import RedisKeys
from proxy.control.records import Client
from proxy.history.reader import LedgerSources
from proxy.history.store import History
from proxy.reporting.verify.difference import Difference
from proxy.reporting.verify.verification import Counts, verify
from proxy.store.configured import redis_keys


@asynccontextmanager
async def sources_in(folder: Path, client: Client, keys: RedisKeys) -> AsyncIterator[LedgerSources]:
    """Yield Redis and the history in `folder`, which is made where it is missing."""
    history = History.at(f"sqlite:///{folder}/history.sqlite")
    try:
        yield LedgerSources(client, keys, history)
    finally:
        await history.close()


async def verify_in(
    folder: Path, client: Client, keys: RedisKeys, plans: Mapping[str, Plan]
) -> tuple[list[Difference], Counts]:
    """Verify Redis and the history in `folder`."""
    async with sources_in(folder, client, keys) as sources:
        return await verify(sources, plans)


async def verify_deployment(settings: Settings, client: Client) -> list[Difference]:
    """Verify Redis and the history of these settings; return the differences."""
    history = History.of(settings)
    try:
        differences, _ = await verify(LedgerSources(client, redis_keys(settings), history), settings.all_plans())
        return differences
    finally:
        await history.close()
