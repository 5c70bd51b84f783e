"""Keys past their rotation age: counted beside the traffic, at a pace that a million of them does not change."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from middlewares.auth.records import KeyRecord, RecordRef
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.control.key_age_watch import BATCH, KeyAgeWatch, KeysDue
from proxy.control.records import APPS, Records, keys_of, name_of
from proxy.server.background.key_metrics import KeyMetrics
from proxy.store.store import Store
from tests.support.deployment import Deployment, deployed, eventually

METRIC = "tollgate_keys_rotation_due"
DAYS = 90


async def key_of_age(store: Store, app: str, days: float, **changed: Any) -> str:
    """Create a key that was made so many days ago; return its id."""
    key, _ = await ApiKeys(store.redis, None).create(app)
    created = datetime.now(UTC) - timedelta(days=days)
    await Records(store.redis, KeyRecord).change(key.ref, lambda found: replace(found, created_at=created, **changed))
    return key.key_id


async def new_app(store: Store) -> str:
    """Create an app; return its client id."""
    return (await Apps(store.redis, None).create("test", "free"))[0].client_id


class Pauses:
    """Counts pauses instead of making them."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1


async def test_only_keys_that_work_and_were_not_rotated_are_due(store: Store) -> None:
    now = datetime.now(UTC)
    apps = [await new_app(store) for _ in range(3)]
    due = {await key_of_age(store, app, days) for app, days in ((apps[0], 90.1), (apps[0], 400), (apps[1], 91))}
    await key_of_age(store, apps[0], 89.9)
    await key_of_age(store, apps[0], 400, status="revoked")
    await key_of_age(store, apps[1], 400, expires_at=now - timedelta(days=1))
    await key_of_age(store, apps[1], 400, replaced_by="a" * 16)
    due.add(await key_of_age(store, apps[1], 400, expires_at=now + timedelta(days=1)))
    await store.redis.sadd(keys_of(apps[2]), "b" * 16)  # a command that was killed left an index entry without a record
    found = await KeyAgeWatch(store.redis, DAYS, pause=Pauses()).count()
    assert (found.number, set(found.examples)) == (4, due)
    assert (await KeyAgeWatch(store.redis, 0, pause=Pauses()).count()) == KeysDue()


async def test_a_record_that_cannot_be_read_hides_no_other(store: Store) -> None:
    """Hazard: one broken record, and nobody is reminded of any key again."""
    app = await new_app(store)
    await key_of_age(store, app, 100)
    broken = await key_of_age(store, app, 100)
    await key_of_age(store, app, 100)
    await store.redis.set(name_of(RecordRef("key", broken)), b"{")
    assert (await KeyAgeWatch(store.redis, DAYS, pause=Pauses()).count()).number == 2


async def fill(store: Store, apps: int, keys: int) -> None:
    """Write so many old keys of each of so many apps, without records of the apps."""
    template = KeyRecord("", "", "sha256:" + "0" * 64, "wxyz", datetime.now(UTC) - timedelta(days=100))
    for name in range(apps):
        client_id = f"app_{name:016d}"
        await store.redis.sadd(APPS, client_id)
        for start in range(0, keys, 10_000):
            ids = [f"{name:06d}{number:010d}" for number in range(start, min(start + 10_000, keys))]
            await store.redis.sadd(keys_of(client_id), *ids)
            pipeline = store.redis.pipeline(transaction=False)
            for key_id in ids:
                record = replace(template, key_id=key_id, app=client_id)
                pipeline.set(name_of(record.ref), msgspec.json.encode(record))
            await pipeline.execute()


async def reads_of(store: Store) -> int:
    """Return the number of GET and SSCAN that Redis has served."""
    commands = await store.redis.info("commandstats")
    return sum(int(commands.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("get", "sscan"))


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("apps", "keys"), [(4, 1_000), (2_000, 1), (1, 2_500)])
async def test_no_more_than_a_batch_is_read_between_two_pauses(store: Store, apps: int, keys: int) -> None:
    """Hazard: a count that takes Redis for itself, with many keys in one app, or with many apps of few keys."""
    await fill(store, apps, keys)
    seen = [await reads_of(store)]

    async def pause() -> None:
        seen.append(await reads_of(store))

    assert (await KeyAgeWatch(store.redis, DAYS, pause=pause).count()).number == apps * keys
    seen.append(await reads_of(store))
    between = [after - before for before, after in pairwise(seen)]
    print(f"{apps} apps of {keys} keys: {len(seen) - 2} pauses, at most {max(between)} reads from one to the next")
    assert max(between) <= BATCH + 10


@pytest.mark.soak
async def test_a_million_keys(store: Store) -> None:
    """Hazard: work that grows faster than the number of keys."""
    await fill(store, 100, 10_000)
    pauses = Pauses()
    began, used = time.perf_counter(), time.process_time()
    found = await KeyAgeWatch(store.redis, DAYS, pause=pauses).count()
    passed, used = time.perf_counter() - began, time.process_time() - used
    print(f"1,000,000 keys: {passed:.0f} s and {used:.0f} s of CPU without pauses, and {pauses.count} pauses")
    assert found.number == 1_000_000
    assert len(found.examples) == 10


async def test_a_line_of_the_log_only_where_the_number_changes() -> None:
    registry = CollectorRegistry()
    metrics = KeyMetrics(registry)
    with capture_logs() as logs:
        for number in (0, 2, 2, 3, 0, 0):
            metrics.due(KeysDue(number, ["a" * 16]))
            assert registry.get_sample_value(METRIC) == number
    assert [(each["event"], each["keys"]) for each in logs] == [("keys_rotation_due", number) for number in (2, 3, 0)]


def samples(text: str) -> Iterator[float]:
    """Yield the values of the gauge in an exposition."""
    for family in text_string_to_metric_families(text):
        yield from (sample.value for sample in family.samples if sample.name == METRIC)


async def shown(deployment: Deployment) -> list[float]:
    """Return what `/metrics` shows."""
    async with httpx.AsyncClient(trust_env=False) as http:
        return list(samples((await http.get(f"{deployment.private}/metrics")).text))


@pytest.mark.slow
async def test_a_reload_counts_anew_and_the_gauge_shows_it(tmp_path: Path) -> None:
    async with deployed(tmp_path) as deployment:

        async def shows(number: int) -> bool:
            return await shown(deployment) == [number]

        await eventually(lambda: shows(0))
        async with deployment.store() as store:
            await key_of_age(store, await new_app(store), DAYS + 1)
        deployment.signal(signal.SIGHUP)
        await eventually(lambda: shows(1))
        assert "keys_rotation_due" in [line["event"] for line in deployment.lines()]
