"""Cost of a request by the number of API keys in the store."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from redis import Redis

from middlewares.auth.keys import hash_secret, mint_key, new_id, pepper_of
from middlewares.auth.records import KeyRecord
from proxy.control.apps import Apps
from proxy.control.records import keys_of, name_of
from proxy.store.embedded.redis_process import EmbeddedRedis
from tests.benchmarks import nginx
from tests.benchmarks.programs import Failed
from tests.benchmarks.report import Section, Target
from tests.benchmarks.scale import Scale
from tests.benchmarks.tollgate import PLAN, RunningTollgate, running_tollgate
from tests.benchmarks.wrk import saturate
from tests.support.deployment import Deployment

TITLE = "requests/s by the number of API keys in the store"
CONNECTIONS = 32
KEYS_PER_APP = 1_000
"""Keys of each app, and the number that requests use, all of one app; a smaller store has fewer."""
REWRITE_SECONDS = 120.0
SLOWER = Target(5, at_most=True)


async def run(section: Section, scale: Scale, folder: Path) -> None:
    """Measure a deployment for each number of keys, in turn, with one key and with many in use."""
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(nginx.static(folder / "upstream"))
        stores: dict[str, RunningTollgate] = {}
        for count in scale.keys:
            name = f"{count:,} keys"
            stores[name] = await stack.enter_async_context(
                running_tollgate(folder / f"keys-{count}", direct, name=name)
            )
        used = {
            name: await fill(stores[name].deployment, count) for name, count in zip(stores, scale.keys, strict=True)
        }
        for number in range(-1, scale.rounds):  # round -1 warms up
            for over in ("one", "many"):
                for name, each in stores.items():
                    keys = used[name][:1] if over == "one" else used[name]
                    candidate = replace(each.candidate, keys=tuple(keys))
                    load = await saturate(candidate, CONNECTIONS, scale.seconds, folder)
                    if number >= 0:
                        section.add(f"{name}, {over} in use", load.metrics)
    section.notes.append(
        f"`many` are {KEYS_PER_APP:,} keys of one app. A smaller store has fewer, so that beside it the cost of more "
        "keys in use shows as well as that of more keys in the store."
    )
    fewest, *larger = stores
    for name in larger:
        for over in ("one", "many"):
            pair = f"{name}, {over} in use", f"{fewest}, {over} in use"
            goal = SLOWER if name == larger[-1] else None
            slower = 1 - section.ratio("requests/s", *pair)
            section.figure(f"slower with {name} than with {fewest}, {over} in use", slower * 100, "%", goal)
            dearer = section.ratio("CPU µs/request", *pair) - 1
            section.figure(f"more CPU time with {name} than with {fewest}, {over} in use", dearer * 100, "%")


async def fill(deployment: Deployment, count: int) -> list[str]:
    """Put `count` keys into the store of a deployment; return the texts of the first app's."""
    settings = deployment.settings
    pepper = pepper_of(settings.auth)
    async with deployment.store() as store:
        control = Apps(store.redis, pepper)
        apps = [(await control.create("bench", PLAN))[0].client_id for _ in range(0, count, KEYS_PER_APP)]
    return await asyncio.to_thread(_write, settings.data_dir, apps, count, pepper)


def _write(data_dir: Path, apps: list[str], count: int, pepper: bytes | None) -> list[str]:
    """Write records as `proxy.control.api_keys` does, a thousand at a time. Only the first app's can be used."""
    minted = [mint_key() for _ in range(min(count, KEYS_PER_APP))]
    first = KeyRecord("", apps[0], hash_secret(minted[0][1].secret, pepper), minted[0][0][-4:], datetime.now(UTC))
    usable = [
        replace(first, key_id=key.key_id, hash=hash_secret(key.secret, pepper), last4=text[-4:]) for text, key in minted
    ]
    with EmbeddedRedis.acquire(data_dir) as embedded, Redis.from_url(embedded.url) as redis:
        for number, app in enumerate(apps):
            left = min(KEYS_PER_APP, count - number * KEYS_PER_APP)
            records = usable if number == 0 else [replace(first, key_id=new_id(), app=app) for _ in range(left)]
            pipeline = redis.pipeline(transaction=False)
            pipeline.sadd(keys_of(app), *(record.key_id for record in records))
            for record in records:
                pipeline.set(name_of(record.ref), msgspec.json.encode(record))
            pipeline.execute()
        _await_rewrite(redis)
    return [text for text, _ in minted]


def _await_rewrite(redis: Redis) -> None:
    """Wait until Redis has rewritten its log, which such a load starts and which takes a core for seconds."""
    give_up = time.monotonic() + REWRITE_SECONDS
    while _persistence(redis)["aof_rewrite_in_progress"] or _persistence(redis)["aof_rewrite_scheduled"]:
        if time.monotonic() > give_up:
            raise Failed(f"Redis has been rewriting its log for {REWRITE_SECONDS:g} s")
        time.sleep(0.1)


def _persistence(redis: Redis) -> dict[str, Any]:
    state: dict[str, Any] = redis.info("persistence")
    return state
