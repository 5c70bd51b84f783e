"""Hazard: Redis is away, or its replies are. A request with a key is refused: nobody could tell its repetition."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from config.idempotency import IdempotencySettings
from config.plans import Plan
from middlewares.exchange import Exchange, Refusal
from middlewares.idempotency.claims import Claims, InFlight
from middlewares.idempotency.middleware import IdempotencyMiddleware, replay_limit
from middlewares.idempotent_request import IdempotentRequest, RequestFingerprint
from middlewares.ledger.model import HoldEntry
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.rate_limit.middleware import RateLimitMiddleware
from proxy.store.store import Store
from tests.ledger.fakes import UnreliableStore
from tests.ledger.worker_ledger import WorkerLedger
from tests.rate_limit.test_admission import exchange_of
from tests.support.redis_fixtures import redis_server, store

__all__ = ["redis_server", "store"]

UNCAPPED = Plan.model_validate({})
"""A plan that goes on without Redis."""


class Stages:
    """The stage and those after it: how far a request comes, and what happens to Redis on the way."""

    def __init__(self, worker: WorkerLedger, unreliable: UnreliableStore) -> None:
        self.unreliable = unreliable
        self.claims = Claims(unreliable, worker.keys, IdempotencySettings(), 1)
        self.limits = RateLimitMiddleware(self._forward, ledger=worker.ledger)
        self.worker = worker
        self.forwarded = 0
        self.fails = ""
        """What becomes of Redis once the key is claimed: `away` or `deaf`."""

    async def send(self, key: bytes = b"k") -> Exchange:
        """Send one request. Raises `Refusal`."""
        exchange = exchange_of("text-to-image", UNCAPPED)
        fingerprint = RequestFingerprint(b"/text-to-image")
        fingerprint.update(b"", more=False)
        exchange.idempotent = IdempotentRequest(key, fingerprint)
        stage = IdempotencyMiddleware(self._lose, claims=self.claims, response_bytes=9, limit=replay_limit(9))
        try:
            await stage({"type": "http", "tollgate.exchange": exchange}, receive_nothing, send_nothing)
        finally:
            await self.claims.drain()
            await self.worker.ledger.drain()
        return exchange

    async def _lose(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.fails:
            setattr(self.unreliable, self.fails, True)
        try:
            await self.limits(scope, receive, send)
        finally:
            self.unreliable.away = self.unreliable.deaf = False

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.forwarded += 1
        hold = scope["tollgate.exchange"].hold
        self.worker.settle(hold, scope["tollgate.exchange"].policy, {})


async def receive_nothing() -> Message:
    raise AssertionError("nothing of it is read")


async def send_nothing(message: Message) -> None:
    raise AssertionError("nothing is sent")


@pytest.fixture
async def stages(store: Store, tmp_path: Path) -> AsyncIterator[Stages]:
    unreliable = UnreliableStore(store)
    async with WorkerLedger(unreliable, RedisKeys(1, cluster=False), tmp_path, deadline=1) as worker:
        yield Stages(worker, unreliable)


@pytest.mark.parametrize("trouble", ["away", "deaf"])
async def test_a_key_that_cannot_be_claimed_is_503(stages: Stages, trouble: str) -> None:
    setattr(stages.unreliable, trouble, True)
    with pytest.raises(Refusal) as refusal:
        await stages.send()
    assert (refusal.value.status, refusal.value.code) == (503, "store_unavailable")
    assert stages.forwarded == 0


@pytest.mark.parametrize("trouble", ["away", "deaf"])
async def test_a_key_is_free_again_where_redis_is_lost_before_the_admission(stages: Stages, trouble: str) -> None:
    stages.fails = trouble
    with pytest.raises(Refusal) as refusal:
        await stages.send()
    assert (refusal.value.status, refusal.value.code) == (503, "store_unavailable")
    assert stages.forwarded == 0, "its plan admits others now"
    stages.fails = ""
    await stages.worker.replay()  # what could not be released at once
    await stages.send()
    assert stages.forwarded == 1


async def test_a_request_that_lost_its_claim_is_not_admitted(stages: Stages) -> None:
    slow, fast = exchange_of("text-to-image", UNCAPPED), exchange_of("text-to-image", UNCAPPED)
    first = await stages.claims.claim(slow, b"k")
    assert isinstance(first, HoldEntry)
    assert isinstance(await stages.claims.claim(fast, b"k"), InFlight)
    stages.claims.release(slow, first)  # as if its time were over
    await stages.claims.drain()
    second = await stages.claims.claim(fast, b"k")
    assert isinstance(second, HoldEntry)
    slow.idempotent = IdempotentRequest(b"k", RequestFingerprint(b"/"), claim=first)
    with pytest.raises(Refusal) as refusal:
        await stages.limits({"type": "http", "tollgate.exchange": slow}, receive_nothing, send_nothing)
    assert (refusal.value.status, refusal.value.code, stages.forwarded) == (409, "idempotency_in_flight", 0)
