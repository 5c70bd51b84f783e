"""Hazards: a long request that no list shows, one that is listed after its end, a dead worker whose requests run on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from middlewares.ledger.group_commit import running
from middlewares.ledger.redis_keys import RedisKeys
from proxy.history.reader import LedgerSources
from proxy.history.store import History
from proxy.reporting.explain.facts import find_app, read_facts
from proxy.reporting.limits import running_holds
from proxy.store.store import Store
from tests.ledger.group.conftest import Open, make_busy, new_app, plan_of
from tests.support.deployment import eventually

pytestmark = pytest.mark.ci


PLAN = plan_of(requests_per_minute=10_000)


@pytest_asyncio.fixture
async def sources(redis: Store, tmp_path: Path) -> AsyncIterator[LedgerSources]:
    history = History.at(f"sqlite:///{tmp_path}/history.sqlite")
    yield LedgerSources(redis.redis, RedisKeys(4, cluster=False), history)
    await history.close()


async def listed(sources: LedgerSources, app: str) -> Sequence[str]:
    """Return which requests of an app run, by the lists."""
    return sorted(each.request_id for each in await running_holds(sources, app))


async def test_a_long_request_is_seen_until_it_ends(group_workers: Open, sources: LedgerSources) -> None:
    app, other = new_app(), new_app()
    async with group_workers() as [worker]:
        policy = worker.policy(app, PLAN)
        holds = [each.hold for each in await make_busy(worker, policy)]
        ids = sorted(each.request_id for each in holds)
        shared = next(each.request_id for each in holds if each.shared)

        async def shown() -> bool:
            return await listed(sources, app) == ids

        await eventually(shown)
        assert await listed(sources, other) == []
        facts = await read_facts(sources, {}, app, shared)
        assert facts is not None
        assert facts.open_hold is not None
        assert facts.open_hold.hold.request_id == shared
        assert await read_facts(sources, {}, other, shared) is None
        assert await find_app(sources, shared) == app
        for hold in holds:
            worker.settle(hold, policy, {})
        await worker.ledger.drain()

        async def gone() -> bool:
            return await listed(sources, app) == []

        await eventually(gone)
        assert await sources.client.exists(worker.keys.running(worker.keys.tag(app))) == 0


async def test_what_a_dead_worker_ran_is_not_listed_for_long(
    group_workers: Open, sources: LedgerSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LIFE_MS", 1_500)
    app = new_app()
    async with group_workers() as [worker]:
        [*_, last] = await make_busy(worker, worker.policy(app, PLAN))

        async def is_listed() -> bool:
            return last.hold.request_id in await listed(sources, app)

        await eventually(is_listed)
        await worker.stop_upkeep()

        async def is_not() -> bool:
            return not await is_listed()

        await eventually(is_not)
        worker.ledger.release(last.hold)
