"""Moves events from Redis to an SQLite file and trims Redis, by the rules of the history."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from proxy.store.configured import open_store, redis_keys
from proxy.store.store import Store
from tests.support.deployment import Deployment

FILE = "moved.sqlite"
KEEP_SECONDS = 5
"""How long Redis keeps what was moved: a journal that is replayed looks for its events there."""
_SCHEMA = """create table if not exists events (id text primary key, event blob);
create table if not exists cursors (stream text primary key, entry text);"""


def connect(data_dir: Path) -> sqlite3.Connection:
    database = sqlite3.connect(data_dir / FILE, isolation_level=None)
    database.execute("pragma journal_mode = wal")
    database.executescript(_SCHEMA)
    return database


class Mover:
    """Cursor and events are committed together; what is in the file, and was read by every group, is trimmed."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self.moved = 0
        self.trimmed = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Move events for the time of the context."""
        stopping = asyncio.Event()
        task = asyncio.create_task(self._run(stopping))
        try:
            yield
        finally:
            stopping.set()
            await task

    async def once(self) -> None:
        """Move all that there is."""
        async with await open_store(self._deployment.settings) as store:
            with contextlib.closing(connect(self._deployment.settings.data_dir)) as database:
                await self._move(store, database)

    async def _run(self, stopping: asyncio.Event) -> None:
        async with await open_store(self._deployment.settings) as store:
            with contextlib.closing(connect(self._deployment.settings.data_dir)) as database:
                while not stopping.is_set():
                    with contextlib.suppress(Exception):  # Redis is away for a while
                        await self._move(store, database)
                    await asyncio.sleep(0.01)

    async def _move(self, store: Store, database: sqlite3.Connection) -> None:
        keys, redis = redis_keys(self._deployment.settings), store.redis
        for tag in keys.tags:
            stream = keys.shared(tag).events
            known = database.execute("select entry from cursors where stream = ?", (stream,)).fetchone()
            entries: Any = await redis.xrange(stream, f"({known[0]}" if known else "-")
            if entries:
                last = entries[-1][0].decode()
                database.execute("begin immediate")
                for _, fields in entries:
                    event = fields[b"event"]
                    row = (msgspec.json.decode(event)["id"], event)
                    self.moved += database.execute("insert or ignore into events values (?, ?)", row).rowcount
                database.execute("replace into cursors values (?, ?)", (stream, last))
                database.execute("commit")
                known = (last,)
            if known:
                await self._trim(store, stream, known[0])

    async def _trim(self, store: Store, stream: str, last: str) -> None:
        groups: Any = await store.redis.xinfo_groups(stream)
        if not groups:
            reply: Any = await store.redis.time()
            old = (reply[0] - KEEP_SECONDS) * 1_000
            bound = min(old, int(last.partition("-")[0]))
            self.trimmed += await store.redis.xtrim(stream, minid=f"{bound}-0", approximate=False)


def moved(data_dir: Path) -> Counter[str]:
    """Return the ids in the file."""
    if not (data_dir / FILE).exists():
        return Counter()
    with contextlib.closing(connect(data_dir)) as database:
        return Counter(row[0] for row in database.execute("select id from events"))
