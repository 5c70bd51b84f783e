"""Moves refusals from the rings in Redis to the history, and writes down the versions of plans.

No lease keeps two archivers apart: a refusal that is added twice is there once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from config.explain import Explain
from config.plans import Plan
from middlewares.ledger.redis_keys import RedisKeys
from proxy.control.records import Client
from proxy.history.batch import START, Entry
from proxy.history.belonging import check
from proxy.history.explain.rows import add_plans, add_refusals, decoded, delete_refusals
from proxy.history.store import History
from proxy.store.clients import now_ms

BATCH = 500
PRUNE_EVERY_MS = 3_600_000


class ExplainArchiver:
    """The archiver of refusals of one process, under one configuration."""

    def __init__(
        self, client: Client, keys: RedisKeys, history: History, settings: Explain, plans: Mapping[str, Plan]
    ) -> None:
        """`plans` are those in force."""
        self._client: Any = client
        self._keys = keys
        self._history = history
        self._settings = settings
        self._plans = plans
        self._plans_known = False
        self._prune_ms = 0

    async def advance(self) -> None:
        """Archive the refusals that are there. Raises `HistoryUnavailable` and the errors of the client."""
        if not self._plans_known:
            await self._history.write(add_plans, self._plans)
            self._plans_known = True
        sets = [self._keys.shared(tag).refused for tag in self._keys.tags]
        pipeline = self._client.pipeline(transaction=False)
        for refused in sets:
            pipeline.smembers(refused)
        found = await pipeline.execute()
        if any(found):
            await check(self._client, self._history)
        for refused, apps in zip(sets, found, strict=True):
            for app in apps:
                await self._archive(refused, app.decode())
        await self._prune()

    async def _archive(self, refused: str, app: str) -> None:
        ring, after = self._keys.refusals(app), START
        while entries := await self._client.xrange(ring, after.next, count=BATCH):
            after = Entry.parse(entries[-1][0])
            records = decoded(fields.get(b"refusal", b"") for _, fields in entries)
            await self._history.write(add_refusals, records, self._settings.kept)
            await self._client.xtrim(ring, minid=after.next, approximate=False)
        await self._client.srem(refused, app)
        if await self._client.xlen(ring):  # one has come in between
            await self._client.sadd(refused, app)

    async def _prune(self) -> None:
        now = await now_ms(self._client)
        if now >= self._prune_ms:
            kept_ms = timedelta(days=self._settings.kept_days) // timedelta(milliseconds=1)
            await self._history.write(delete_refusals, now - kept_ms)
            self._prune_ms = now + PRUNE_EVERY_MS
