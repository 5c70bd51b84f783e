"""The life of a claim against a model in plain Python: whatever happens in whatever order, a key is charged once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.idempotency import IdempotencySettings
from config.plans import Plan
from middlewares.exchange import Exchange, Principal
from middlewares.idempotency.claims import ADMISSION_MS, Claims, InFlight
from middlewares.ledger.model import Admitted, ClaimLost, Hold, HoldEntry
from middlewares.ledger.settlement.event import DECODER
from middlewares.ledger.settlement.reaper import Reaper
from middlewares.ledger.settlement.settler import Settler
from middlewares.routes import BY_NAME
from proxy.store.store import Store
from tests.ledger.conftest import store, worker_ledger
from tests.ledger.redis_time import HOLD_MS, NEW_YEAR, Clocked
from tests.ledger.worker_ledger import MODEL, WORKLOAD, WorkerLedger, never_rejected
from tests.support.examples import examples, new_name
from tests.support.redis_fixtures import clocked, redis_server

__all__ = ["clocked", "redis_server", "store", "worker_ledger"]

PRICE = 7
PRICES = [{"unit": "requests", "amount": PRICE}]
STEPS = st.sampled_from(("claim", "admit", "release", "charge", "fail", "keep", "wait", "die"))
REQUEST = st.integers(0, 2)


class Model:
    """One key, and the requests that were sent with it."""

    def __init__(self, on_orphan: str) -> None:
        self.on_orphan = on_orphan
        self.owner: int | None = None
        self.since = 0
        self.done = False
        self.holds: dict[int, int] = {}
        """When each expires."""
        self.reaped: set[int] = set()
        self.charged: dict[int, int] = {}

    def claim(self, request: int, now: int) -> str:
        if self.owner is not None and self.done:
            return "done"
        if self.owner is not None and (self.owner in self.holds or now - self.since < ADMISSION_MS):
            return "in flight"
        self.owner, self.since = request, now
        return "claimed"

    def free(self) -> None:
        self.owner, self.done = None, False

    def end(self, request: int, *, charged: bool) -> None:
        """End a request that has a hold, or was reaped."""
        if request in self.holds:
            del self.holds[request]
        elif self.owner not in (None, request):
            return  # its key was used anew
        else:
            self.reaped.discard(request)
            if (self.charged.get(request, 0) > 0) is charged:  # nothing to adjust
                return
        self.charged[request] = PRICE if charged else 0
        if charged:
            self.owner, self.done = request, True
        else:
            self.free()

    def reap(self, now: int) -> None:
        for request in [each for each, expiry in self.holds.items() if expiry <= now]:
            self.end(request, charged=self.on_orphan == "estimate")
            self.done = self.on_orphan != "refund"
            if self.done:
                self.owner = request
            self.reaped.add(request)


class Run:
    """The same with Redis. Requests are known by their numbers."""

    def __init__(self, store: Store, worker: WorkerLedger, clocked: Clocked, on_orphan: str) -> None:
        self.app = new_name()
        self.redis: Any = store.redis
        self.clocked = clocked
        self.worker = worker
        self.claims = Claims(clocked, worker.keys, IdempotencySettings(), 10)
        self.plan = Plan.model_validate({"billing": "usage", "prices": PRICES, "on_orphan": on_orphan})
        self.policy = worker.policy(self.app, self.plan)
        settler = Settler(clocked, worker.keys, never_rejected)
        self.reaper = Reaper(clocked, worker.keys, settler, lambda _: None, worker.reports.lost)
        self.known: set[int] = set()
        """Requests that had the claim once; each is sent once."""
        self.claim_of: dict[int, HoldEntry] = {}
        self.hold_of: dict[int, Hold] = {}

    def exchange(self, request: int) -> Exchange:
        made = Exchange(f"{self.app}-{request}", 0.0, "POST", "/text-to-image")
        made.route = BY_NAME["text-to-image"]
        made.principal = Principal(self.app, None, None, "plan", self.plan)
        return made

    async def claim(self, request: int) -> str:
        found = await self.claims.claim(self.exchange(request), b"k")
        if isinstance(found, HoldEntry):
            self.known.add(request)
            self.claim_of[request] = found
            return "claimed"
        return "in flight" if isinstance(found, InFlight) else "done"

    async def admit(self, request: int) -> bool:
        """Return False where another request has the claim."""
        claim = self.claim_of.pop(request)
        try:
            decided = await self.worker.ledger.admit(
                f"{self.app}-{request}", self.policy, workload=WORKLOAD, model=MODEL, units={}, claim=claim
            )
        except ClaimLost:
            return False
        assert isinstance(decided, Admitted)
        self.hold_of[request] = decided.hold
        return True

    async def release(self, request: int) -> None:
        self.claims.release(self.exchange(request), self.claim_of.pop(request))
        await self.claims.drain()

    async def end(self, request: int, *, charged: bool) -> None:
        hold = self.hold_of.pop(request)
        if charged:
            self.worker.settle(hold, self.policy, {})
        else:
            self.worker.ledger.release(hold)
        await self.worker.ledger.drain()

    async def keep(self, request: int) -> None:
        [claim] = [entry for entry in self.hold_of[request].entries if entry.kind == "i"]
        self.claims.keep(self.exchange(request), claim, b"fingerprint", b"response %d" % request)
        await self.claims.drain()

    async def total(self) -> int:
        """Return what all events of the app charge."""
        events = self.worker.keys.shared(self.worker.keys.tag(self.app)).events
        found = await self.redis.xrange(events)
        return sum(int(fields[b"amount"]) for _, fields in found if DECODER.decode(fields[b"event"]).app == self.app)


async def live(run: Run, model: Model, steps: list[tuple[str, int]]) -> None:
    """Do each step that is possible, to both."""
    clock = run.clocked
    for step, request in steps:
        claimed, admitted = request in run.claim_of, request in run.hold_of
        if step == "claim" and request not in run.known:
            said = model.claim(request, clock.now_ms)
            assert await run.claim(request) == said, steps
        elif step == "admit" and claimed:
            owned = model.owner == request
            assert await run.admit(request) is owned
            if owned:
                model.holds[request] = clock.now_ms + HOLD_MS
        elif step == "release" and claimed:
            await run.release(request)
            if model.owner == request:
                model.free()
        elif step in ("charge", "fail") and admitted:
            await run.end(request, charged=step == "charge")
            model.end(request, charged=step == "charge")
        elif step == "keep" and admitted:
            await run.keep(request)
        elif step == "wait":
            clock.now_ms += ADMISSION_MS // 2
        elif step == "die" and admitted:
            clock.now_ms += HOLD_MS
            await run.reaper.sweep()
            model.reap(clock.now_ms)
        assert await run.total() == sum(model.charged.values()) <= PRICE


@pytest.mark.parametrize("on_orphan", ["refund", "estimate", "attention"])
@settings(max_examples=examples(60, 2_000), deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.tuples(STEPS, REQUEST), max_size=25))
async def test_a_key_is_charged_once(
    on_orphan: str, steps: list[tuple[str, int]], store: Store, worker_ledger: WorkerLedger, clocked: Clocked
) -> None:
    clocked.now_ms = NEW_YEAR
    await live(Run(store, worker_ledger, clocked, on_orphan), Model(on_orphan), steps)
