"""Hazard: a share of more places than one command may name, for a script's stack is bounded."""

from __future__ import annotations

import time

from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.model import Hold
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.shares.share import Share, hold_of
from proxy.store.store import Store
from tests.ledger.group.conftest import new_app, plan_of
from tests.ledger.worker_ledger import WORKLOAD

RUNNING = 9_001
"""More than a script's stack takes, and no multiple of what one command names."""


async def test_thousands_of_places_are_taken_kept_and_given_back(redis: Store) -> None:
    app = new_app()
    policy = Policy(
        RedisKeys(1, cluster=False), app=app, user=None, key=None, name="plan", plan=plan_of(concurrent=1_000_000)
    )
    hold = Hold("request", app, None, None, "plan@1", WORKLOAD, "", 0)
    share = Share("share-worker-1", policy, hold_of("share-worker-1", policy, hold))
    [places] = share.counts

    async def ask(wanted: int) -> int:
        reply = await redis.run(share.call(time.monotonic(), 60_000, 60_000, 0, wanted))
        if reply[0] == 1:
            share.granted(reply)
            share.expires = time.monotonic() + 60
        else:
            share.refused()
        return await redis.redis.zcard(places.rule.keys[0])

    places.peak = RUNNING
    assert await ask(RUNNING) == places.unused >= RUNNING
    for _ in range(RUNNING):
        assert share.take(time.monotonic(), hold) is not None
    assert await ask(0) == RUNNING
    for _ in range(RUNNING):
        share.give_back()
    assert await ask(0) == 0
