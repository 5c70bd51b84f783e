"""A backup taken under load: every event that was acknowledged before is in it, once, wherever it was on its way."""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pytest

from middlewares.ledger.settlement.journal import read
from proxy.history.reader import LedgerSources
from proxy.history.store import History
from proxy.reporting.dates import Days
from proxy.reporting.stream import AppEvents, UnreadableEvent
from proxy.store.configured import redis_keys
from tests.chaos.load import MixedLoad
from tests.chaos.test_kill_nine import PLANS, customers_of
from tests.support.deployment import Deployment, deployed, eventually, wait_until_gone

pytestmark = pytest.mark.slow

CONFIG: dict[str, Any] = {
    "workers": 2,
    "hold_ttl": 2,
    "plans": PLANS,
    "store": {"deadline_seconds": 0.1},
    "log": {"requests": False},
    "history": {"keep_in_redis_seconds": 3_600},
}
TRIMMED = {**CONFIG, "history": {"keep_in_redis_seconds": 2}, "ledger": {"replay_window_seconds": 1}}
"""Redis keeps hardly anything: nearly all events are in the history alone."""


def journaled(deployment: Deployment) -> set[str]:
    """Return the ids of settlements in the journals."""
    found: set[str] = set()
    for path in deployment.journals():
        records, _ = read(path.read_bytes())
        found |= {each.settlement.hold.request_id for each in records if each.settlement and each.settlement.forwarded}
    return found


def redis_of(deployment: Deployment) -> psutil.Process:
    [server] = [each for each in deployment.processes() if "redis-server" in each.name()]
    return server


async def recorded(deployment: Deployment, apps: list[str]) -> Counter[str]:
    """Return how often each event is in history and Redis together, as all reports read them."""
    settings = deployment.settings
    history, found = History.of(settings), Counter[str]()

    def unreadable(error: UnreadableEvent) -> None:
        raise error

    try:
        async with deployment.store() as store:
            sources = LedgerSources(store.redis, redis_keys(settings), history)
            for app in apps:
                async for each in AppEvents(sources, app).read(Days(date.min, date.max), unreadable):
                    found[each.event.id] += 1
    finally:
        await history.close()
    return found


async def acknowledged(deployment: Deployment, apps: list[str]) -> set[str]:
    """Return the ids of all events that are kept anywhere, read along the way that they move."""
    in_journals = journaled(deployment)
    return in_journals | set(await recorded(deployment, apps))


async def in_redis(deployment: Deployment) -> int:
    """Return how many events Redis has."""
    return len(await deployment.events())


async def fill_journals(deployment: Deployment) -> int:
    """Freeze Redis until usage is kept in the journals; return how many records."""
    redis = redis_of(deployment)
    redis.suspend()
    try:
        await eventually(lambda: len(journaled(deployment)) >= 5)
        return len(journaled(deployment))
    finally:
        redis.resume()


@asynccontextmanager
async def restored(
    folder: Path, original: Deployment, backup: Path, config: dict[str, Any]
) -> AsyncIterator[Deployment]:
    """Run Tollgate on a restored backup, until every hold and journal of it is settled."""
    os.mkdir(folder)
    deployment = Deployment(folder, original.gateway, config, {})
    code, out, err = await deployment.cli("restore", str(backup), "--json")
    assert code == 0, err
    before = tree(deployment.settings.data_dir)
    code, out, err = await deployment.cli("restore", str(backup), "--json")
    assert (code, '"changed": false' in out) == (0, True), out + err
    assert tree(deployment.settings.data_dir) == before, "a second restore changed something"
    try:
        await deployment.start()
        await eventually(lambda: holds(deployment))
        yield deployment
        await deployment.stop()
    finally:
        await wait_until_gone(deployment.killed)


async def holds(deployment: Deployment) -> bool:
    """Return True if no hold is left, and no journal of a dead worker."""
    keys = redis_keys(deployment.settings)
    async with deployment.store() as store:
        left = [await store.redis.zcard(keys.shared(tag).holds) for tag in keys.tags]
    return not any(left) and all(path.stat().st_size == 0 for path in deployment.journals())


def tree(folder: Path) -> dict[str, str]:
    """Return a hash of each file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


async def requests_counted(deployment: Deployment) -> int:
    """Return the requests in all running totals."""
    counted = 0
    async with deployment.store() as store:
        async for name in store.redis.scan_iter(match="tollgate:*usage:*"):
            fields: Any = await store.redis.hgetall(name)
            counted += sum(int(number) for field, number in fields.items() if field.endswith(b"|requests"))
    return counted


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [1, pytest.param(5, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
@pytest.mark.parametrize("config", [CONFIG, TRIMMED], ids=["in Redis, too", "trimmed"])
async def test_every_event_acknowledged_before_is_there_once(
    tmp_path: Path, config: dict[str, Any], count: int
) -> None:
    rng = random.Random(7)
    sizes = []
    async with deployed(tmp_path, config) as deployment:
        customers = await customers_of(deployment)
        apps = [customer.app for customer in customers]
        load = MixedLoad(deployment, customers, rng)
        backups: list[tuple[Path, set[str]]] = []
        for number in range(count):
            async with load.running():
                await load.served(60)
                sizes.append(await fill_journals(deployment))
                backups.append(await taken(deployment, tmp_path / f"backup{number}", apps))
        if config is TRIMMED:
            total = (await recorded(deployment, apps)).total()
            await eventually(lambda: _fewer_in_redis(deployment, total))
        for number, (backup, before) in enumerate(backups):
            async with restored(tmp_path / f"restored{number}", deployment, backup, config) as other:
                events = await recorded(other, apps)
                assert not {name: count for name, count in events.items() if count > 1}
                assert not before - events.keys(), "acknowledged before the backup, and not in it"
                usage = [name for name in events if not name.endswith("-adjustment") and not name.startswith("credit-")]
                assert await requests_counted(other) == len(usage)
                code, out, err = await other.cli("verify")
                assert code == 0, out + err
                print(f"{len(before)} acknowledged before, {len(events)} there")
    print(f"records in journals before each backup: {sizes}")


async def _fewer_in_redis(deployment: Deployment, total: int) -> bool:
    return await in_redis(deployment) < total / 2


async def taken(deployment: Deployment, folder: Path, apps: list[str]) -> tuple[Path, set[str]]:
    """Take a backup; return it, and what was acknowledged before."""
    before = await acknowledged(deployment, apps)
    code, out, err = await deployment.cli("backup", str(folder), "--json")
    assert code == 0, out + err
    return folder, before
