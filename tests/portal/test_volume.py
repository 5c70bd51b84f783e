"""Pages of an app with a million events take about as long as those of one with a thousand."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from config.workloads import Unit
from middlewares.ledger.settlement.event import ENCODER
from proxy.history import queries
from proxy.history.store import History
from proxy.store.configured import redis_keys
from tests.history.fakes import event
from tests.history.test_volume import figure
from tests.portal.browser import Browser
from tests.portal.conftest import CONFIG, Tenant, tenant
from tests.support.deployment import Deployment, deployed, eventually

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3_600), pytest.mark.asyncio(loop_scope="module")]

MANY, FEW = int(os.environ.get("PORTAL_EVENTS", "1000000")), 1_000
ROUNDS = 9
PAGES = (
    *("", "/keys", "/users", "/usage", "/usage.csv", "/requests", "/statements", "/webhooks", "/try", "/audit"),
    *(f"/usage?by={by}" for by in ("workload", "model", "user", "key")),
    *("/requests?model=m-1", "/requests?outcome=complete"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def large(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run a Tollgate whose history has everything."""
    folder: Path = tmp_path_factory.mktemp("large")
    async with deployed(folder, {**CONFIG, "history": {"keep_in_redis_seconds": 60}}) as deployment:
        yield deployment


async def filled(deployment: Deployment, app: str, count: int) -> None:
    """Write events of this month as the ledger does, but for their totals, which the archiver computes anew."""
    now = int(datetime.now(UTC).timestamp() * 1_000)
    begin = int(datetime.now(UTC).replace(day=1, hour=0, minute=0).timestamp() * 1_000)
    async with deployment.store() as store:
        stream = redis_keys(deployment.settings).shared(redis_keys(deployment.settings).tag(app)).events
        for start in range(0, count, 5_000):
            pipe = store.redis.pipeline(transaction=False)
            for number in range(start, min(start + 5_000, count)):
                units = {Unit.REQUESTS: 1, Unit.PIXELS: number}
                each = event(
                    app,
                    user=f"user-{number % 20}",
                    key=f"key-{number % 5}",
                    time=begin + number * 7_919 % max(1, now - begin),
                    plan="portal@1",
                    model=f"m-{number % 7}",
                    units=units,
                    status=200,
                )
                pipe.xadd(stream, {"event": ENCODER.encode(each), "amount": str(number)})
            await pipe.execute()


async def archived(deployment: Deployment, count: int) -> None:
    """Wait until the history has so many events, and Redis none of them: the archiver is at rest then."""
    history, keys = History.of(deployment.settings), redis_keys(deployment.settings)
    async with deployment.store() as store:

        async def has_all() -> bool:
            left = sum([await store.redis.xlen(keys.shared(tag).events) for tag in keys.tags])
            return bool(await history.read(queries.count) >= count) and left == 0

        await eventually(has_all, 1_200)
    await history.close()


async def seconds_of(visits: Sequence[tuple[Browser, str]]) -> list[float]:
    """Return how long each of these pages takes, the medians of interleaved rounds."""
    taken: list[list[float]] = [[] for _ in visits]
    for _ in range(ROUNDS):
        for (browser, path), times in zip(visits, taken, strict=True):
            began = time.perf_counter()
            await browser.page(path)
            times.append(time.perf_counter() - began)
    return [statistics.median(each) for each in taken]


async def test_a_million_events_take_no_five_times_longer(large: Deployment) -> None:
    tenants: list[Tenant] = [await tenant(large, name) for name in ("Few", "Many")]
    for each, count in zip(tenants, (FEW, MANY), strict=True):
        await filled(large, each.app, count)
    await archived(large, FEW + MANY + 2)
    few, many = [await each.member("owner") for each in tenants]
    ratios: dict[str, float] = {}
    for page in PAGES:
        short, long = await seconds_of([(few, tenants[0].path + page), (many, tenants[1].path + page)])
        ratios[page or "/"] = long / short
    with figure():
        found = ", ".join(f"{page} {ratio:.2f}" for page, ratio in ratios.items())
        print(f"\n{MANY} events beside {FEW}, ratio of the time of a page: {found}")
    assert max(ratios.values()) <= 5
