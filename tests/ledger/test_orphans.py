"""Holds whose owner died, and owners that were alive after all: what is charged in the end is what was used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.credit.prepaid import balance, grant
from middlewares.ledger.model import Admitted, Denied
from middlewares.ledger.scripts import RENEW
from middlewares.ledger.settlement.event import DECODER, Event
from middlewares.ledger.settlement.reaper import Reaper
from middlewares.ledger.settlement.settler import Settler, orphan
from middlewares.store import Call
from proxy.store.store import Store
from tests.ledger.redis_time import HOLD_MS, Clocked
from tests.ledger.worker_ledger import WorkerLedger, never_rejected
from tests.support.examples import new_name

PRICE = {"unit": "output_tokens", "amount": 10, "per": 1}
INCLUDED = {"unit": "output_tokens", "per": "day", "included": 60}
TOKENS_100 = {Unit.OUTPUT_TOKENS: 100}


def plan(**fields: Any) -> Plan:
    return Plan.model_validate({"billing": "usage", "prices": [PRICE], "on_orphan": "estimate"} | fields)


class Case:
    """One app, and what the stream says of it."""

    def __init__(self, store: Store, worker_ledger: WorkerLedger, clocked: Clocked) -> None:
        self.app = new_name("orphans")
        self.worker_ledger = worker_ledger
        self.redis: Any = store.redis
        self.runner = clocked
        self._reaper = Reaper(
            clocked,
            worker_ledger.keys,
            Settler(clocked, worker_ledger.keys, never_rejected),
            lambda _: None,
            worker_ledger.reports.lost,
        )
        self.shared = worker_ledger.keys.shared(worker_ledger.keys.tag(self.app))

    def policy(self, chosen: Plan) -> Policy:
        return self.worker_ledger.policy(self.app, chosen)

    async def expire(self) -> None:
        self.runner.now_ms += HOLD_MS
        await self._reaper.sweep()

    async def events(self) -> list[tuple[Event, int, str]]:
        entries = await self.redis.xrange(self.shared.events)
        found = [(DECODER.decode(fields[b"event"]), fields) for _, fields in entries]
        return [
            (event, int(fields[b"amount"]), fields.get(b"wallet", b"").decode())
            for event, fields in found
            if event.app == self.app
        ]

    async def amounts(self) -> list[int]:
        return [amount for _, amount, _ in await self.events()]


@pytest.fixture
async def case(store: Store, worker_ledger: WorkerLedger, clocked: Clocked) -> AsyncIterator[Case]:
    made = Case(store, worker_ledger, clocked)
    yield made
    await store.redis.delete(made.shared.holds, made.shared.bodies, made.shared.events)


async def test_an_orphan_pays_its_estimate_once_beside_an_allowance(case: Case) -> None:
    await case.worker_ledger.hold(case.policy(plan(allowances=[INCLUDED])), TOKENS_100)
    await case.expire()
    [(event, amount, _)] = await case.events()
    assert (event.outcome, event.units[Unit.OUTPUT_TOKENS], amount) == ("orphaned", 100, (100 - 60) * 10)


async def test_a_late_settlement_gives_back_what_was_past_an_allowance(case: Case) -> None:
    policy = case.policy(plan(allowances=[INCLUDED]))
    hold = await case.worker_ledger.hold(policy, TOKENS_100)
    await case.expire()
    case.worker_ledger.settle(hold, policy, {Unit.OUTPUT_TOKENS: 70})
    await case.worker_ledger.ledger.drain()
    assert await case.amounts() == [400, -300]
    adjustment = (await case.events())[1][0]
    assert (adjustment.id, adjustment.type) == (f"{hold.request_id}-adjustment", "adjustment")
    assert adjustment.units == {Unit.OUTPUT_TOKENS: -30, Unit.REQUESTS: 0}


async def test_a_late_settlement_gives_back_what_was_past_included_money(case: Case) -> None:
    policy = case.policy(plan(allowances=[{"unit": "amount", "per": "day", "included": 900}]))
    hold = await case.worker_ledger.hold(policy, TOKENS_100)
    await case.expire()
    case.worker_ledger.settle(hold, policy, {Unit.OUTPUT_TOKENS: 10})
    await case.worker_ledger.ledger.drain()
    assert await case.amounts() == [100, -100]


async def test_what_is_given_back_is_never_less_than_what_was_charged_for_nothing(case: Case) -> None:
    policy = case.policy(plan(prices=[{**PRICE, "per": 7}], allowances=[INCLUDED]))
    hold = await case.worker_ledger.hold(policy, TOKENS_100)
    await case.expire()
    case.worker_ledger.settle(hold, policy, {})
    await case.worker_ledger.ledger.drain()
    assert await case.amounts() == [58, -58]  # 40 * 10 / 7, rounded up


UNITS = st.integers(0, 200)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=UNITS, estimate=st.integers(1, 200), used=UNITS, amount=st.integers(1, 20), per=st.integers(1, 20))
async def test_an_orphan_and_its_late_settlement_cost_together_what_one_event_costs(
    case: Case, before: int, estimate: int, used: int, amount: int, per: int
) -> None:
    """Hazard: a charge rounded up, less another that is rounded up, is one atomic unit off."""
    case.app = new_name("orphans")
    price = {"unit": "output_tokens", "amount": amount, "per": per}
    policy = case.policy(plan(prices=[price], allowances=[INCLUDED]))
    first = await case.worker_ledger.hold(policy, {Unit.OUTPUT_TOKENS: before})
    case.worker_ledger.settle(first, policy, {Unit.OUTPUT_TOKENS: before})
    await case.worker_ledger.ledger.drain()
    late = await case.worker_ledger.hold(policy, {Unit.OUTPUT_TOKENS: estimate})
    await case.expire()
    case.worker_ledger.settle(late, policy, {Unit.OUTPUT_TOKENS: used})
    await case.worker_ledger.ledger.drain()
    _, *of_late = await case.amounts()
    past = max(0, before + used - 60) - max(0, before - 60)
    assert sum(of_late) == -(-past * amount // per)


async def test_a_marker_of_an_older_release_still_takes_its_late_settlement(case: Case) -> None:
    policy = case.policy(plan(allowances=[INCLUDED]))
    hold = await case.worker_ledger.hold(policy, TOKENS_100)
    await case.expire()
    marker = case.worker_ledger.keys.marker(case.app, hold.request_id)
    written = await case.redis.get(marker)
    assert written.startswith(b"app:40 {")
    await case.redis.set(marker, written.replace(b":40", b"", 1))
    case.worker_ledger.settle(hold, policy, {Unit.OUTPUT_TOKENS: 70})
    await case.worker_ledger.ledger.drain()
    assert await case.amounts() == [400, -300]


async def test_a_late_release_takes_the_charge_of_its_orphan_back(case: Case) -> None:
    policy = case.policy(plan(billing="credits"))
    await grant(case.runner, case.worker_ledger.keys, case.app, None, 5_000, reference="in")
    hold = await case.worker_ledger.hold(policy, TOKENS_100)
    await case.expire()
    case.worker_ledger.ledger.release(hold)
    case.worker_ledger.ledger.release(hold)
    await case.worker_ledger.ledger.drain()
    assert await case.amounts() == [5_000, 1_000, -1_000]
    assert (await balance(case.runner, case.worker_ledger.keys, case.app, None)).available == 5_000


@pytest.mark.parametrize("on_orphan", ["refund", "attention", "estimate"])
async def test_an_adjustment_that_changes_nothing_is_not_written(case: Case, on_orphan: str) -> None:
    policy = case.policy(plan(on_orphan=on_orphan))
    hold = await case.worker_ledger.hold(policy, TOKENS_100)
    await case.expire()
    if on_orphan == "estimate":
        case.worker_ledger.settle(hold, policy, TOKENS_100)
    else:
        case.worker_ledger.ledger.release(hold)
    await case.worker_ledger.ledger.drain()
    [(event, _, _)] = await case.events()
    assert event.attention is (on_orphan == "attention")


async def test_a_hold_that_was_renewed_after_it_was_listed_is_not_reaped(case: Case) -> None:
    policy = case.policy(plan())
    hold = await case.worker_ledger.hold(policy, TOKENS_100)
    case.runner.now_ms += HOLD_MS - 1
    settler = Settler(case.runner, case.worker_ledger.keys, never_rejected)
    assert not await settler.reap(orphan(hold, case.runner.now_ms))
    assert await case.events() == []
    case.runner.now_ms += 1
    assert await settler.reap(orphan(hold, case.runner.now_ms))
    assert not await settler.reap(orphan(hold, case.runner.now_ms))
    assert await case.amounts() == [1_000]


async def test_a_hold_that_is_renewed_late_takes_its_lease_back(case: Case) -> None:
    policy = case.policy(Plan.model_validate({"limits": {"app": {"concurrent": 1}}}))
    late = await case.worker_ledger.hold(policy)
    case.runner.now_ms += HOLD_MS
    other = await case.worker_ledger.hold(policy)  # finds the lease over, and removes it
    [lease] = policy.rules[0].keys
    await case.runner.run(Call(RENEW, [case.shared.holds, lease], [late.request_id, HOLD_MS]))
    case.worker_ledger.settle(other, policy, {})
    await case.worker_ledger.ledger.drain()
    assert isinstance(await case.worker_ledger.admit(policy), Denied)
    case.worker_ledger.settle(late, policy, {})
    await case.worker_ledger.ledger.drain()
    assert isinstance(await case.worker_ledger.admit(policy), Admitted)


async def test_a_request_without_hold_and_user_is_paid_by_the_app(case: Case) -> None:
    policy = case.policy(plan(billing="credits"))
    await grant(case.runner, case.worker_ledger.keys, case.app, None, 5_000, reference="in")
    hold = msgspec.structs.replace(await case.worker_ledger.hold(policy, TOKENS_100), request_id="lost")
    case.worker_ledger.settle(hold, policy, TOKENS_100)
    await case.worker_ledger.ledger.drain()
    assert [(amount, wallet) for _, amount, wallet in await case.events()] == [(5_000, "app"), (1_000, "app")]
