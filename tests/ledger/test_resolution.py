"""Decisions about events: the charge is adjusted once, to the last unit, whoever repeats or races them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.credit.prepaid import balance, grant
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.resolution.resolve import DecidedOtherwise, EventDecision, SettledMeanwhile, resolve
from middlewares.ledger.settlement.event import DECODER, Event
from middlewares.ledger.settlement.reaper import Reaper
from middlewares.ledger.settlement.settler import Settler
from proxy.store.store import Store
from tests.history.beside import verify_in
from tests.ledger.redis_time import HOLD_MS, Clocked
from tests.ledger.worker_ledger import WorkerLedger, never_rejected
from tests.support.examples import new_name

HUGE = 10**27
PLAN = Plan.model_validate(
    {
        "billing": "credits",
        "on_orphan": "attention",
        "limits": {
            "user": {"caps": [{"unit": "amount", "per": "month", "max": HUGE}]},
            "app": {
                "caps": [
                    {"unit": "amount", "per": "day", "max": HUGE},
                    {"unit": "tokens", "per": "month", "max": 10**12},
                ]
            },
        },
        "prices": [{"unit": "output_tokens", "amount": HUGE // 10**6, "per": 7}],
        "allowances": [{"unit": "amount", "per": "month", "included": 10**20}],
    }
)


class Orphans:
    """Holds of one app whose owners died, and the decisions about their events."""

    def __init__(self, store: Store, worker_ledger: WorkerLedger, clocked: Clocked) -> None:
        self.app = new_name("resolved")
        self.store, self.clocked, self.worker_ledger = store, clocked, worker_ledger
        self.keys = worker_ledger.keys
        settler = Settler(clocked, self.keys, never_rejected)
        self._reaper = Reaper(clocked, self.keys, settler, lambda _: None, worker_ledger.reports.lost)

    async def event(self, tokens: int, user: str | None) -> tuple[Event, str]:
        """Let a hold of so many tokens expire; return its event, and the wallet that it was paid from."""
        policy = self.worker_ledger.policy(self.app, PLAN, user=user)
        hold = await self.worker_ledger.hold(policy, {Unit.OUTPUT_TOKENS: tokens})
        self.clocked.now_ms += HOLD_MS
        await self._reaper.sweep()
        [found] = [each for each in await self.events() if each[0].id == hold.request_id]
        return found[0], found[2]

    async def events(self) -> list[tuple[Event, int, str]]:
        """Return the events of the app, with amount and wallet."""
        entries: Any = await self.store.redis.xrange(self.keys.shared(self.keys.tag(self.app)).events)
        found = [(DECODER.decode(fields[b"event"]), fields) for _, fields in entries]
        return [
            (event, int(fields[b"amount"]), fields.get(b"wallet", b"").decode())
            for event, fields in found
            if event.app == self.app
        ]

    async def decide(self, event: Event, wallet: str, decision: str, amount: int) -> tuple[int, bool]:
        """Decide about an event as the plan in force has it."""
        decided = EventDecision(event, wallet, decision, amount, adjusted=False)
        return await resolve(self.clocked, self.keys, PLAN, decided)


@pytest.fixture
def orphans(store: Store, worker_ledger: WorkerLedger, clocked: Clocked) -> Orphans:
    return Orphans(store, worker_ledger, clocked)


async def test_an_orphan_names_what_was_reserved_for_it(orphans: Orphans) -> None:
    await grant(orphans.clocked, orphans.keys, orphans.app, None, HUGE, reference="in")
    event, wallet = await orphans.event(700, None)
    assert (event.attention, event.reserved_amount, wallet) == (True, str(HUGE // 10**6 * 100), "app")


async def test_a_decision_is_made_once_however_many_make_it(orphans: Orphans, tmp_path: Path) -> None:
    await grant(orphans.clocked, orphans.keys, orphans.app, None, HUGE, reference="in")
    event, wallet = await orphans.event(700, None)
    price = int(event.reserved_amount)
    outcomes = await asyncio.gather(
        *(orphans.decide(event, wallet, "charge", price) for _ in range(20)),
        *(orphans.decide(event, wallet, "refund", 0) for _ in range(20)),
        return_exceptions=True,
    )
    made = [each for each in outcomes if not isinstance(each, BaseException)]
    assert sum(not repeated for _, repeated in made) == 1
    assert {type(each) for each in outcomes if isinstance(each, BaseException)} == {DecidedOtherwise}
    assert len([each for each, _, _ in await orphans.events() if each.type == "adjustment"]) == 1


async def test_a_late_settlement_counts_nothing_after_a_decision(orphans: Orphans) -> None:
    """Hazard: charged in full by a person, and once more by the worker that was only slow."""
    await grant(orphans.clocked, orphans.keys, orphans.app, None, HUGE, reference="in")
    policy = orphans.worker_ledger.policy(orphans.app, PLAN)
    hold = await orphans.worker_ledger.hold(policy, {Unit.OUTPUT_TOKENS: 700})
    orphans.clocked.now_ms += HOLD_MS
    await orphans._reaper.sweep()
    [(event, _, wallet)] = [each for each in await orphans.events() if each[0].id == hold.request_id]
    await orphans.decide(event, wallet, "charge", int(event.reserved_amount))
    orphans.worker_ledger.settle(hold, policy, {Unit.OUTPUT_TOKENS: 700})
    await orphans.worker_ledger.ledger.drain()
    assert (await balance(orphans.clocked, orphans.keys, orphans.app, None)).spent == int(event.reserved_amount)


async def test_a_decision_that_a_late_settlement_has_overtaken_is_looked_at_again(orphans: Orphans) -> None:
    await grant(orphans.clocked, orphans.keys, orphans.app, None, HUGE, reference="in")
    policy = orphans.worker_ledger.policy(orphans.app, PLAN)
    hold = await orphans.worker_ledger.hold(policy, {Unit.OUTPUT_TOKENS: 700})
    orphans.clocked.now_ms += HOLD_MS
    await orphans._reaper.sweep()
    orphans.worker_ledger.settle(hold, policy, {Unit.OUTPUT_TOKENS: 7_000_000})
    await orphans.worker_ledger.ledger.drain()
    [(event, _, wallet), (adjustment, amount, _)] = [
        each for each in await orphans.events() if each[0].type != "credit"
    ]
    assert adjustment.id == f"{event.id}-adjustment"
    with pytest.raises(SettledMeanwhile):
        await orphans.decide(event, wallet, "refund", 0)
    decided = EventDecision(event, wallet, "refund", -amount, adjusted=True)
    assert await resolve(orphans.clocked, orphans.keys, PLAN, decided) == (-amount, False)
    assert (await balance(orphans.clocked, orphans.keys, orphans.app, None)).spent == 0


step = st.tuples(
    st.integers(1, 10**6), st.sampled_from([None, "ann", "bob"]), st.sampled_from(["refund", "accept", "charge"])
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, min_size=1, max_size=4), repeats=st.integers(1, 3))
async def test_totals_stay_those_of_the_events(
    store: Store,
    worker_ledger: WorkerLedger,
    clocked: Clocked,
    tmp_path: Path,
    steps: list[tuple[int, str | None, str]],
    repeats: int,
) -> None:
    """The model: each decision adds its amount, once, to the wallet that paid and to the totals of its day."""
    await store.redis.flushdb()  # `verify` reads all that is there, also what other tests have left
    case = Orphans(store, worker_ledger, clocked)
    await grant(clocked, case.keys, case.app, None, HUGE, reference="in")
    await grant(clocked, case.keys, case.app, "ann", HUGE, reference="in of a user")
    spent: defaultdict[str | None, int] = defaultdict(int)
    for tokens, user, decision in steps:
        event, wallet = await case.event(tokens, user)
        amount = int(event.reserved_amount) if decision == "charge" else 0
        for number in range(repeats):
            assert await case.decide(event, wallet, decision, amount) == (amount, number > 0)
        spent["ann" if wallet == "user" else None] += amount
    for user in (None, "ann"):
        assert (await balance(clocked, case.keys, case.app, user)).spent == spent[user]
    redis: Any = store.redis
    names = await redis.keys(f"{case.keys.tag(case.app)}usage:{case.app}:*")
    counted = [await redis.hgetall(name) for name in names]
    amounts = [int(value) for each in counted for name, value in each.items() if name.endswith(b"|amount")]
    assert sum(amounts) == sum(spent.values())
    differences, _ = await verify_in(tmp_path, store.redis, RedisKeys(1, cluster=False), {"plan": PLAN})
    assert [each for each in differences if case.app in each.where] == []
