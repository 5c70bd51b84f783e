"""Hazard: what comes back while a share is being given back stays taken for as long as a hold."""

from __future__ import annotations

import asyncio
from typing import Any

from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.model import Hold
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.shares.shares import Shares
from middlewares.store import Call
from tests.ledger.group.conftest import plan_of
from tests.ledger.worker_ledger import WORKLOAD
from tests.support.deployment import eventually

GIVEN = [1, 0, 20, 100, 0, 0]
NOTHING = [0, 0]


class Replies:
    """A store whose replies a test gives."""

    def __init__(self) -> None:
        self.calls: list[asyncio.Future[Any]] = []

    def run(self, call: Call, *, deadline: float | None = None) -> asyncio.Future[Any]:
        """As `ScriptRunner.run`."""
        self.calls.append(asyncio.get_running_loop().create_future())
        return self.calls[-1]

    async def renewed(self, shares: Shares, reply: list[int], *ended: str) -> None:
        """Let the worker renew its shares, and requests end before the reply."""
        before = len(self.calls)
        renewal = asyncio.create_task(shares.renew())
        await eventually(lambda: len(self.calls) > before)
        for request_id in ended:
            shares.give_back(request_id)
        self.calls[-1].set_result(reply)
        await renewal


async def test_a_place_that_is_freed_while_its_share_is_given_back_is_given_back_next() -> None:
    policy = Policy(
        RedisKeys(1, cluster=False), app="app", user=None, key=None, name="plan", plan=plan_of(concurrent=200)
    )
    replies = Replies()
    shares = Shares(replies, RedisClock(), 60, "worker")
    holds = [Hold(f"request{number}", "app", None, None, "plan@1", WORKLOAD, "", 0) for number in range(3)]
    assert [shares.take(policy, hold) for hold in holds[:2]] == [None, None]
    await replies.renewed(shares, GIVEN)
    assert shares.take(policy, holds[2]) is not None
    await replies.renewed(shares, NOTHING, holds[2].request_id)
    await replies.renewed(shares, NOTHING)
    await asyncio.wait_for(shares.renew(), 10)
    assert len(replies.calls) == 3, "nothing is left to give back"
