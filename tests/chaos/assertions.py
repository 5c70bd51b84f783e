"""Assertions about the ledger that hold once the load has ended, whatever was killed when."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any, cast

from middlewares.ledger.redis_keys import RedisKeys
from proxy.store.configured import redis_keys
from proxy.store.store import Store
from tests.history.beside import verify_deployment
from tests.support.deployment import Deployment, eventually, wait_until_gone

TIMEOUT_SECONDS = 60.0
"""Seconds after which an expected change counts as missing."""


@dataclass(frozen=True, slots=True)
class AuditResult:
    """Counts of an audit."""

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


async def audit(deployment: Deployment) -> AuditResult:
    """Check that each request that the gateway saw has exactly one usage event; any other event is an orphan's.

    An orphan whose owner was alive after all has one adjustment, which changes something. Wallets and running totals
    are the sums of the events.
    """
    seen = Counter(record.request_id for record in deployment.gateway.requests)
    events = await deployment.events()
    usage = {event["id"]: event for event in events if event["type"] == "usage"}
    ids = Counter(event["id"] for event in events)
    assert seen, "no request reached the gateway, so none was audited"
    assert None not in seen, "a request without an id reached the gateway"
    assert not {identity: count for identity, count in seen.items() if count > 1}, "the gateway saw a request twice"
    assert not {identity: count for identity, count in ids.items() if count > 1}, "an event stands there twice"
    assert not (lost := seen.keys() - usage.keys()), f"requests without an event: {lost}"
    assert not [line for line in deployment.lines() if line.get("event") == "usage_lost"]
    unseen = usage.keys() - seen.keys()
    assert {usage[identity]["outcome"] for identity in unseen} <= {"orphaned"}
    adjustments = [event for event in events if event["type"] == "adjustment"]
    for event in adjustments:
        assert usage[event["id"].removesuffix("-adjustment")]["outcome"] == "orphaned"
        changes = any(event["units"].values()) or event["amount"] != "0" or event["outcome"] != "orphaned"
        assert changes, "an adjustment that changes nothing"
    await _check_totals(deployment)
    outcomes = Counter(str(event["outcome"]) for event in usage.values())
    return AuditResult(len(seen), outcomes, len(unseen), len(adjustments))


async def _check_totals(deployment: Deployment) -> None:
    async with deployment.store() as store:
        differences = await verify_deployment(deployment.settings, store.redis)
        assert not differences


async def wait_until_settled(deployment: Deployment) -> int:
    """Wait until no hold, no hold body and no lease is left, then until every journal is empty.

    Return how late the last hold went, in milliseconds by the clock of Redis: from its expiry, or from now if it is
    overdue already.
    """
    keys = redis_keys(deployment.settings)
    async with deployment.store() as store, asyncio.timeout(TIMEOUT_SECONDS):
        due = await _now(store)
        while await _reserved(store, keys):
            for tag in keys.tags:
                last = await cast("Any", store.redis).zrange(keys.shared(tag).holds, -1, -1, withscores=True)
                due = max([due, *(int(expiry) for _, expiry in last)])
            await asyncio.sleep(0.02)
        late = max(0, await _now(store) - due)
        await eventually(deployment.journals_are_empty)
        return late


async def _reserved(store: Store, keys: RedisKeys) -> int:
    """Count holds, hold bodies and leases."""
    redis = cast("Any", store.redis)
    shared = [keys.shared(tag) for tag in keys.tags]
    leases = [name async for name in redis.scan_iter(match="tollgate:{*}:lease:*", count=1_000)]
    pipeline = redis.pipeline(transaction=False)
    for name in [each.holds for each in shared] + leases:
        pipeline.zcard(name)
    for each in shared:
        pipeline.hlen(each.bodies)
    return sum(await pipeline.execute())


async def _now(store: Store) -> int:
    seconds, microseconds = await cast("Any", store.redis).time()
    return int(seconds) * 1_000 + int(microseconds) // 1_000


async def kill_everything(deployment: Deployment) -> None:
    """Kill every process, and whatever was started meanwhile, until none is left."""
    await wait_until_gone(deployment.killed)
    await deployment.wait_for_exit()
