"""Trouble with the history slows no request: two whole products serve the same requests, and one of them has trouble.

The other one says how long a request takes on this machine at this moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from proxy.history.schema import VERSION_TABLE, latest
from proxy.history.store import History
from proxy.store.configured import redis_keys
from tests.history.postgres import Postgres
from tests.history.served import DEADLINE_SECONDS, Served, served
from tests.support.deployment import eventually

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

DOWN, UP = "history_unavailable", "history_recovered"


@dataclass
class Products:
    """One product on PostgreSQL, one on SQLite: while one has trouble, the other is what it is compared with."""

    on_postgresql: Served
    on_sqlite: Served
    postgres: Postgres


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def products(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Products]:
    folder, url = tmp_path_factory.mktemp("served"), postgres.database()
    history = History.at(url)
    await history.upgrade()
    await history.close()
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(served(folder / "postgresql", history_url=url))
        other = await stack.enter_async_context(served(folder / "sqlite"))
        yield Products(one, other, postgres)


@asynccontextmanager
async def frozen(products: Products) -> AsyncIterator[None]:
    """Stop the time of PostgreSQL; its sockets stay open."""
    products.postgres.freeze()
    try:
        yield
    finally:
        products.postgres.thaw()


@asynccontextmanager
async def locked(products: Products) -> AsyncIterator[None]:
    """Hold the lock of the SQLite file."""
    file = products.on_sqlite.deployment.settings.data_dir / "history.sqlite"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@asynccontextmanager
async def disk_full(products: Products) -> AsyncIterator[None]:
    """Let the archiver's files grow no more: to SQLite both are a write that fails."""
    product = products.on_sqlite
    archiver = product.archiver()
    size = max(each.stat().st_size for each in product.deployment.settings.data_dir.glob("history.sqlite*"))
    before = resource.prlimit(archiver.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(archiver.pid, resource.RLIMIT_FSIZE, (size + 4_096, before[1]))
    try:
        yield
    finally:
        resource.prlimit(archiver.pid, resource.RLIMIT_FSIZE, before)


@asynccontextmanager
async def newer_schema(products: Products) -> AsyncIterator[None]:
    """Upgrade the history to a schema of the future, under an archiver that is then restarted."""
    product = products.on_sqlite

    def become(version: str) -> None:
        file = product.deployment.settings.data_dir / "history.sqlite"
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            database.execute(f"UPDATE {VERSION_TABLE} SET version_num = ?", (version,))

    become("9999")
    product.archiver().terminate()
    try:
        yield
    finally:
        become(latest())


@asynccontextmanager
async def second_archiver(products: Products) -> AsyncIterator[None]:
    """Run another archiver, as another machine does, and hand it the leases; it has nothing to say either."""
    deployment = products.on_sqlite.deployment
    leases = [f"{tag}archiver" for tag in redis_keys(deployment.settings).tags]
    log = deployment.folder / "second.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proxy.server.background.archiver",
            stdin=asyncio.subprocess.PIPE,
            stderr=out,
            env=deployment.environment,
        )
    try:
        async with deployment.store() as store:

            async def works() -> bool:
                owners = await store.redis.mget(leases)
                await store.redis.delete(*leases)
                return any(f"-{process.pid}-".encode() in owner for owner in owners if owner)

            await eventually(works)
        yield
    finally:
        process.terminate()
        assert await process.wait() == 0
    assert log.read_bytes() == b""


@asynccontextmanager
async def clock_set_back(products: Products) -> AsyncIterator[None]:
    """Let the streams begin in the future, as they do behind a clock that was set back by an hour."""
    deployment = products.on_sqlite.deployment
    keys = redis_keys(deployment.settings)
    async with deployment.store() as store:
        for tag in keys.tags:
            client: Any = store.redis
            if await client.exists(keys.shared(tag).events):
                seconds, _ = await client.time()
                await client.execute_command("XSETID", keys.shared(tag).events, f"{(seconds + 3_600) * 1_000}-0")
    yield


async def together(one: Served, other: Served) -> tuple[float, float]:
    """Serve the same requests at both at the same time; return the seconds of the slowest at each."""
    return await asyncio.gather(one.slowest(), other.slowest())


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (frozen, [DOWN, UP]),
        (locked, [DOWN, UP]),
        (disk_full, [DOWN, UP]),
        (newer_schema, [DOWN, UP]),
        (second_archiver, []),
        (clock_set_back, []),
    ],
)
async def test_no_request_is_slower(products: Products, trouble: Any, expected: list[str]) -> None:
    pair = [products.on_postgresql, products.on_sqlite]
    if trouble is not frozen:
        pair.reverse()
    troubled, usual = pair
    for each in pair:
        await each.archived()
        each.log_size = each.deployment.log.stat().st_size
    context: AbstractAsyncContextManager[None] = trouble(products)
    slowest: list[tuple[float, float]] = []
    async with context:
        slowest.append(await together(troubled, usual))
        if expected:
            await eventually(lambda: troubled.lines() == [DOWN])
            slowest.append(await together(troubled, usual))
    await troubled.archived()
    await eventually(lambda: troubled.lines() == expected)
    ours, others = (max(each) for each in zip(*slowest, strict=True))
    print(f"{trouble.__name__}: slowest {ours * 1000:.1f} ms, without trouble {others * 1000:.1f} ms")
    assert ours <= others + DEADLINE_SECONDS
    assert usual.lines() == []
    await troubled.check()
