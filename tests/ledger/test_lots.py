"""Credits that are promotional or expire, against a model in plain integers: to the unit, whatever the clock does."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.credit.expiry import LotExpiry
from middlewares.ledger.credit.lots import LotTerms
from middlewares.ledger.credit.prepaid import InsufficientBalance, TooManyLots, balance, debit, grant
from middlewares.ledger.model import Admitted, Hold
from middlewares.ledger.settlement.event import DECODER
from proxy.store.store import Store
from tests.ledger.lots_model import WalletModel
from tests.ledger.redis_time import NEW_YEAR, Clocked
from tests.ledger.worker_ledger import MODEL, WORKLOAD, WorkerLedger
from tests.support.examples import examples, new_name

UNIT = 10**27 // 97
PLAN = Plan.model_validate({"billing": "credits", "prices": [{"unit": "output_tokens", "amount": UNIT}]})
AMOUNTS = st.sampled_from((1, UNIT - 1, UNIT, 2 * UNIT + 1, 5 * UNIT, 30 * UNIT))
LIVES = st.sampled_from((0, 0, 1, 999, 1_000, 5_000, 60_000))
TOKENS = st.integers(0, 8)

STEPS = st.one_of(
    st.tuples(st.just("grant"), AMOUNTS, st.booleans(), LIVES),
    st.tuples(st.just("debit"), AMOUNTS, st.booleans()),
    st.tuples(st.just("admit"), TOKENS),
    st.tuples(st.just("admit"), TOKENS),
    st.tuples(st.just("settle"), st.integers(0, 9), TOKENS),
    st.tuples(st.just("settle"), st.integers(0, 9), TOKENS),
    st.tuples(st.just("release"), st.integers(0, 9)),
    st.tuples(st.just("wait"), st.sampled_from((1, 998, 1_000, 4_999, 60_000))),
    st.tuples(st.just("wait"), st.sampled_from((-1, -1_000, -5_000))),
    st.tuples(st.just("sweep")),
)


class World:
    """One wallet in Redis and in the model."""

    def __init__(self, worker_ledger: WorkerLedger, clocked: Clocked, user: str | None = None) -> None:
        self.worker_ledger, self.clocked = worker_ledger, clocked
        self.keys = worker_ledger.keys
        self.app, self.user = new_name("lots"), user
        self.policy = worker_ledger.policy(self.app, PLAN, user=user)
        self.model = WalletModel()
        self.holds: list[Hold] = []
        self.numbers = itertools.count()

    @property
    def now(self) -> int:
        return self.clocked.now_ms

    async def grant(self, amount: int, promotional: bool = False, life: int = 0) -> None:
        terms = LotTerms(promotional, self.now + life if life else 0)
        reference = f"g{next(self.numbers)}"
        await grant(self.clocked, self.keys, self.app, self.user, amount, reference=reference, terms=terms)
        self.model.grant(self.now, amount, promotional=promotional, expires=terms.expires_ms)

    async def debit(self, amount: int, force: bool) -> None:
        reference, done = f"d{next(self.numbers)}", True
        try:
            await debit(self.clocked, self.keys, self.app, self.user, amount, reference=reference, force=force)
        except InsufficientBalance:
            done = False
        assert self.model.debit(self.now, amount, force=force) is done

    async def admit(self, tokens: int) -> bool:
        request = f"{self.app}-{next(self.numbers)}"
        said = await self.worker_ledger.ledger.admit(
            request, self.policy, workload=WORKLOAD, model=MODEL, units={Unit.OUTPUT_TOKENS: tokens}
        )
        admitted = isinstance(said, Admitted)
        assert self.model.admit(self.now, request, tokens * UNIT) is admitted
        if isinstance(said, Admitted):
            self.holds.append(said.hold)
            assert said.limit_states[-1].remaining == self.model.free(self.now)
        else:
            assert said.limit_state.remaining == max(0, self.model.free(self.now))
        return admitted

    async def settle(self, which: int, tokens: int) -> None:
        if self.holds:
            hold = self.holds.pop(which % len(self.holds))
            self.worker_ledger.settle(hold, self.policy, {Unit.OUTPUT_TOKENS: tokens}, at=self.now)
            await self.worker_ledger.ledger.drain()
            self.model.settle(self.now, hold.request_id, tokens * UNIT)

    async def release(self, which: int) -> None:
        if self.holds:
            hold = self.holds.pop(which % len(self.holds))
            self.worker_ledger.ledger.release(hold)
            await self.worker_ledger.ledger.drain()
            self.model.settle(self.now, hold.request_id, 0)

    async def wait(self, milliseconds: int) -> None:
        self.clocked.now_ms += milliseconds

    async def sweep(self) -> None:
        await LotExpiry(self.clocked, self.keys).sweep()
        if any(0 < lot.expires <= self.now and not lot.ended for lot in self.model.lots):
            self.model.expire(self.now)

    async def compare(self) -> None:
        found = await balance(self.clocked, self.keys, self.app, self.user)
        assert found.available == self.model.free(self.now)
        assert (found.spent, found.held) == (self.model.spent, self.model.held)
        assert [(lot.terms.promotional, lot.terms.expires_ms, lot.left, lot.reserved) for lot in found.lots] == [
            (lot.promotional, lot.expires, 0 if lot.over(self.now) else lot.rest, lot.reserved)
            for lot in self.model.lots
            if lot.rest or lot.reserved
        ]

    async def events(self, redis: Any) -> list[tuple[Any, int]]:
        entries = await redis.xrange(self.keys.shared(self.keys.tag(self.app)).events)
        return [(DECODER.decode(fields[b"event"]), int(fields[b"amount"])) for _, fields in entries]


@pytest.mark.parametrize("user", [None, "ann"])
@given(steps=st.lists(STEPS, min_size=8, max_size=30))
@settings(max_examples=examples(40, 3_000), deadline=None, suppress_health_check=list(HealthCheck))
async def test_no_divergence(
    store: Store, worker_ledger: WorkerLedger, clocked: Clocked, user: str | None, steps: list[tuple[Any, ...]]
) -> None:
    clocked.now_ms = NEW_YEAR
    world = World(worker_ledger, clocked, user)
    shared = world.keys.shared(world.keys.tag(world.app))
    try:
        if user:
            await world.grant(1)
        for what, *words in steps:
            await getattr(world, what)(*words)
            await world.compare()
        while world.holds:
            await world.settle(0, 1)
        await world.wait(120_000)
        await world.sweep()
        await world.compare()
        events = await world.events(store.redis)
        expired = [(event.time, -amount) for event, amount in events if event.outcome == "expired"]
        assert sorted(expired) == sorted(world.model.expired)
        assert len({event.id for event, _ in events}) == len(events)
        changes = sum(amount for event, amount in events if event.type == "credit")
        wallet: Any = await store.redis.hgetall(world.keys.wallet(world.app, user))
        assert int(wallet.get(b"granted", b"0")) == changes == world.model.granted
        ended = all(lot.expires == 0 for lot in world.model.lots)
        assert ended
        assert wallet.keys() <= {b"granted", b"spent", b"held", b"lots"}
    finally:
        await store.redis.delete(shared.holds, shared.bodies, shared.events, world.keys.expiring(world.keys.tag("")))


async def test_promotional_credits_are_spent_first_and_leave_at_their_expiry(
    store: Store, worker_ledger: WorkerLedger, clocked: Clocked
) -> None:
    clocked.now_ms = NEW_YEAR
    world = World(worker_ledger, clocked)
    await store.redis.delete(world.keys.expiring(world.keys.tag("")))  # what other tests have left
    await world.grant(10 * UNIT)
    await world.grant(4 * UNIT, promotional=True, life=1_000)
    await world.grant(3 * UNIT, life=500)
    assert await world.admit(2)
    await world.settle(0, 2)
    assert [lot.left for lot in (await _balance(world)).lots] == [2 * UNIT, 3 * UNIT]
    await world.wait(999)
    assert (await _balance(world)).available == 12 * UNIT
    await world.wait(1)
    assert (await _balance(world)).available == 10 * UNIT
    assert not await world.admit(11)
    assert await LotExpiry(clocked, world.keys).sweep() == 1
    assert await LotExpiry(clocked, world.keys).sweep() == 0
    expired = [(event, amount) for event, amount in await world.events(store.redis) if event.outcome == "expired"]
    assert [(event.time - NEW_YEAR, amount) for event, amount in expired] == [(500, -3 * UNIT), (1_000, -2 * UNIT)]
    assert all(event.lot and event.id == f"{event.lot}-expired" for event, _ in expired)


async def test_a_hold_may_spend_what_it_has_reserved_after_the_expiry_and_what_it_leaves_is_gone(
    worker_ledger: WorkerLedger, clocked: Clocked
) -> None:
    clocked.now_ms = NEW_YEAR
    world = World(worker_ledger, clocked)
    await world.grant(10 * UNIT, promotional=True, life=1_000)
    assert await world.admit(6)
    await world.wait(1_000)
    assert (await _balance(world)).available == 0
    assert not await world.admit(1)
    await world.settle(0, 4)
    found = await _balance(world)
    assert (found.granted, found.spent, found.available, found.lots) == (4 * UNIT, 4 * UNIT, 0, ())


async def test_an_expiry_never_takes_the_balance_below_zero(worker_ledger: WorkerLedger, clocked: Clocked) -> None:
    clocked.now_ms = NEW_YEAR
    world = World(worker_ledger, clocked)
    await world.grant(5 * UNIT)
    await world.grant(7 * UNIT, promotional=True, life=1_000)
    await world.debit(8 * UNIT, force=True)
    assert (await _balance(world)).available == 4 * UNIT
    await world.wait(1_000)
    assert (await _balance(world)).available == 0
    await world.sweep()
    found = await _balance(world)
    assert (found.granted, found.available) == (0, 0)


async def test_the_number_of_lots_is_bounded_and_none_begins_expired(
    worker_ledger: WorkerLedger, clocked: Clocked
) -> None:
    clocked.now_ms = NEW_YEAR
    world = World(worker_ledger, clocked)
    for _ in range(100):
        await world.grant(1, promotional=True)
    with pytest.raises(TooManyLots):
        await world.grant(1, promotional=True)
    await world.grant(1)
    with pytest.raises(ValueError, match="future"):
        await grant(clocked, world.keys, f"{world.app}b", None, 1, reference="r", terms=LotTerms(expires_ms=NEW_YEAR))


async def _balance(world: World) -> Any:
    await world.compare()
    return await balance(world.clocked, world.keys, world.app, world.user)
