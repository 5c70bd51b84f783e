"""What must be true of the ledger once the noise is over, whatever was killed when."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil

from middlewares.ledger.redis_keys import RedisKeys
from proxy.reporting.verify.verification import verify
from proxy.store.configured import redis_keys
from proxy.store.store import Store
from tests.support.deployment import Deployment, eventually, gone

PATIENCE = 30.0
"""Seconds after which what must happen counts as not happening."""


@dataclass(frozen=True, slots=True)
class Books:
    """What an audit counted."""

    seen: int
    """Requests that reached the gateway."""
    outcomes: Counter[str]
    """Usage events by outcome."""
    unseen: int
    """Usage events, all of them orphaned, of requests that the gateway never saw."""
    adjustments: int

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        return (
            f"{self.seen} requests seen by the gateway, {self.outcomes.total()} events ({outcomes}), "
            f"{self.unseen} of them unseen, {self.adjustments} adjustments"
        )


async def audit(gate: Deployment) -> Books:
    """Every request that the gateway saw has exactly one usage event; any other event is of an orphan.

    An orphan whose owner was alive after all has one adjustment, which says something. Wallets and running totals are
    what the events make them.
    """
    seen = Counter(record.request_id for record in gate.gateway.requests)
    events = await gate.events()
    usage = {event["id"]: event for event in events if event["type"] == "usage"}
    ids = Counter(event["id"] for event in events)
    assert None not in seen, "a request without an id reached the gateway"
    assert not {identity: count for identity, count in seen.items() if count > 1}, "the gateway saw a request twice"
    assert not {identity: count for identity, count in ids.items() if count > 1}, "an event stands there twice"
    assert not (lost := seen.keys() - usage.keys()), f"requests without an event: {lost}"
    unseen = usage.keys() - seen.keys()
    assert {usage[identity]["outcome"] for identity in unseen} <= {"orphaned"}
    adjustments = [event for event in events if event["type"] == "adjustment"]
    for event in adjustments:
        assert usage[event["id"].removesuffix("-adjustment")]["outcome"] == "orphaned"
        says = any(event["units"].values()) or event["amount"] != "0" or event["outcome"] != "orphaned"
        assert says, "an adjustment that changes nothing"
    await _check_totals(gate)
    outcomes = Counter(str(event["outcome"]) for event in usage.values())
    return Books(len(seen), outcomes, len(unseen), len(adjustments))


async def _check_totals(gate: Deployment) -> None:
    async with gate.store() as store:
        differences, _ = await verify(store.redis, redis_keys(gate.settings), gate.settings.all_plans())
        assert not differences


async def quiet(gate: Deployment) -> int:
    """Wait until no hold, no body and no lease is left, then until no journal has anything to say.

    How late the last hold went, in milliseconds by the clock of Redis: from the end of its time, or from now if it
    is overdue already.
    """
    keys = redis_keys(gate.settings)
    async with gate.store() as store, asyncio.timeout(PATIENCE):
        due = await _now(store)
        while await _reserved(store, keys):
            for tag in keys.tags:
                last = await cast("Any", store.redis).zrange(keys.shared(tag).holds, -1, -1, withscores=True)
                due = max([due, *(int(expiry) for _, expiry in last)])
            await asyncio.sleep(0.02)
        late = max(0, await _now(store) - due)
        await eventually(lambda: not any(path.stat().st_size for path in journals(gate)))
        return late


def journals(gate: Deployment) -> list[Path]:
    """The journals of workers, living and dead."""
    return list((gate.settings.data_dir / "journal").glob("*.journal"))


async def _reserved(store: Store, keys: RedisKeys) -> int:
    """Holds, bodies and leases that are there."""
    redis = cast("Any", store.redis)
    shared = [keys.shared(tag) for tag in keys.tags]
    leases = [name async for name in redis.scan_iter(match="tollgate:*lease:*", count=1_000)]
    pipeline = redis.pipeline(transaction=False)
    for name in [each.holds for each in shared] + leases:
        pipeline.zcard(name)
    for each in shared:
        pipeline.hlen(each.bodies)
    return sum(await pipeline.execute())


async def _now(store: Store) -> int:
    seconds, microseconds = await cast("Any", store.redis).time()
    return int(seconds) * 1_000 + int(microseconds) // 1_000


async def slay(gate: Deployment) -> None:
    """Kill everything, and whatever the dying have still started, until nothing is left."""

    def survivors() -> list[psutil.Process]:
        gate.kill()
        return gate.processes()

    await gone(survivors)
    await gate.ended()
