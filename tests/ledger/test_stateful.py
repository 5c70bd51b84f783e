"""The ledger against a model in plain Python: whatever happens in whatever order, both say and count the same."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.credit.prepaid import InsufficientBalance, ReferenceTaken, debit, grant
from middlewares.ledger.model import Admitted, Denied, Hold
from middlewares.ledger.scripts import RENEW
from middlewares.ledger.settlement.event import DECODER
from middlewares.ledger.settlement.reaper import Reaper
from middlewares.ledger.settlement.settler import Settler
from middlewares.store import Call
from proxy.store.store import Store
from tests.ledger.model import Model, Verdict
from tests.ledger.redis_time import HOLD_MS, NEW_YEAR, Clocked
from tests.ledger.worker_ledger import MODEL, WORKLOAD, WorkerLedger, never_rejected
from tests.support.examples import examples, new_name

pytestmark = pytest.mark.ci


DAY = 86_400_000
HUGE = 10**27
PRINCIPALS = ((None, None), (None, "k1"), ("u1", None), ("u1", "k1"), ("u2", "k2"))

WINDOWS: dict[str, Any] = {
    "key": {"requests_per_minute": 2},
    "user": {"requests_per_minute": {"max": 2, "shadow": True}, "requests_per_day": 4},
    "app": {"requests_per_minute": 3},
    "global": {"requests_per_day": 7},
}
LEASES: dict[str, Any] = {
    "key": {"concurrent": {"max": 1, "shadow": True}},
    "user": {"concurrent": 2},
    "app": {"concurrent": 3},
}
CAPS: dict[str, Any] = {
    "key": {"caps": [{"unit": "requests", "per": "day", "max": 3}]},
    "user": {"caps": [{"unit": "tokens", "per": "month", "max": 100}, {"unit": "seconds", "per": "day", "max": 20}]},
    "app": {"caps": [{"unit": "output_tokens", "per": "day", "max": 120, "shadow": True}]},
}
MONEY: dict[str, Any] = {
    "app": {"caps": [{"unit": "amount", "per": "month", "max": HUGE}]},
    "user": {"caps": [{"unit": "amount", "per": "day", "max": HUGE // 2, "shadow": True}]},
}
PRICES = [
    {"unit": "requests", "amount": 7},
    {"unit": "output_tokens", "amount": HUGE // 4, "per": 97},
    {"unit": "minutes", "amount": HUGE // 7, "per": 10**9},
]
INCLUDED = [
    {"unit": "output_tokens", "per": "day", "included": 60},
    {"unit": "minutes", "per": "month", "included": 1},
]


def plan(**fields: Any) -> Plan:
    return Plan.model_validate(fields)


PLANS = [
    plan(limits=WINDOWS),
    plan(limits=LEASES),
    plan(limits=CAPS, on_orphan="estimate"),
    plan(billing="usage", prices=PRICES, limits=MONEY, on_orphan="estimate"),
    plan(billing="credits", prices=PRICES[1:], limits=MONEY),
    plan(billing="credits", prices=PRICES, holds={"default": HUGE // 2}, on_orphan="estimate"),
    plan(billing="credits", prices=PRICES, holds={"ceiling": HUGE // 3, "default": HUGE}, on_orphan="attention"),
    plan(billing="usage", prices=PRICES, allowances=INCLUDED, limits=MONEY, on_orphan="estimate"),
    plan(
        billing="subscription",
        prices=PRICES,
        allowances=[*INCLUDED, {"unit": "amount", "per": "day", "included": HUGE}],
        on_orphan="estimate",
    ),
    plan(billing="credits", prices=PRICES, allowances=[{"unit": "amount", "per": "month", "included": HUGE // 2}]),
    plan(billing="usage", prices=PRICES, allowances=[{**each, "overage": "refuse"} for each in INCLUDED]),
    plan(
        billing="credits",
        prices=PRICES,
        limits={scope: {**WINDOWS[scope], **LEASES.get(scope, {}), **CAPS.get(scope, {})} for scope in WINDOWS},
        allowances=INCLUDED,
        holds={"default": 5},
        on_orphan="estimate",
    ),
]

NUMBERS = (None, 0, 1, 5, 17, 45, 59, 60, 61, 97, 130, 2**40)
CREDITS = (1, HUGE // 97, HUGE, 3 * HUGE)
WAITS = (1, 999, 1_000, HOLD_MS - 1, HOLD_MS, 60_000, 61_000, DAY // 60, DAY, 31 * DAY)
METERED = (Unit.OUTPUT_TOKENS, Unit.INPUT_TOKENS, Unit.MILLISECONDS)
MOVES = (
    *("admit",) * 8,
    *("enter",) * 4,
    *("declare",) * 3,
    "leave",
    *("settle",) * 4,
    *("die", "settle_late") * 2,
    *("wait", "record", "release", "renew", "reap", "grant", "debit"),
)
STEP = 5
"""Bytes that decide one step: cheap to draw, and they shrink well."""

CASE = st.tuples(
    st.sampled_from(PLANS),
    st.sampled_from([0, 1_500, DAY // 2]),
    st.sampled_from([0, 9 * HUGE]),
    st.binary(min_size=14 * STEP, max_size=24 * STEP),
)
Case = tuple[Plan, int, int, bytes]
"""Plan, milliseconds before the new year, credits of the app, and what happens."""

Move = tuple[str, *tuple[Any, ...]]


def moves(data: bytes) -> Iterator[Move]:
    """What happens, as methods of `World` and their arguments."""
    for start in range(0, len(data) - STEP + 1, STEP):
        what, which, *words = data[start : start + STEP]
        move = MOVES[what % len(MOVES)]
        numbers = {unit: NUMBERS[word % len(NUMBERS)] for unit, word in zip(METERED, words, strict=True)}
        if move in ("admit", "declare", "settle", "settle_late", "record"):
            yield move, which, {unit: number for unit, number in numbers.items() if number is not None}
        elif move in ("enter", "leave", "release", "renew"):
            yield move, which
        elif move == "wait":
            yield move, WAITS[which % len(WAITS)]
        elif move in ("grant", "debit"):
            yield move, (None, "u1", "u2")[which % 3], CREDITS[words[0] % len(CREDITS)], words[1] % 10
        else:
            yield (move,)


class World:
    """Ledger and model side by side."""

    def __init__(self, store: Store, worker_ledger: WorkerLedger, clocked: Clocked, chosen: Plan) -> None:
        self.redis: Any = store.redis
        self.app, self.plan_name = new_name(), new_name("plan")
        self.worker_ledger = worker_ledger
        self.runner = clocked
        self.plan = chosen
        self.model = Model(chosen, HOLD_MS, clocked.now_ms)
        self.reaper = Reaper(
            clocked,
            worker_ledger.keys,
            Settler(clocked, worker_ledger.keys, never_rejected),
            lambda _: None,
            worker_ledger.reports.lost,
        )
        self.holds: list[Hold] = []
        self.entered: list[tuple[str, int, Hold]] = []
        """Request, principal and slot of those whose body is still being read."""
        self.slots: list[Hold] = []
        """The slots of those whose body was read."""
        self.numbers = itertools.count()

    def policy(self, user: str | None, key: str | None) -> Policy:
        return self.worker_ledger.ledger.policy(self.app, user, key and f"{key}-{self.app}", self.plan_name, self.plan)

    async def admit(self, principal: int, bound: Mapping[Unit, int]) -> None:
        user, key = PRINCIPALS[principal % len(PRINCIPALS)]
        identity = f"{self.app}-{next(self.numbers):03}"
        said = await self.worker_ledger.ledger.admit(
            identity, self.policy(user, key), workload=WORKLOAD, model=MODEL, units=bound
        )
        if isinstance(said, Admitted):
            self.holds.append(said.hold)
        self._check(said, self.model.admit(identity, user, key, bound))

    async def enter(self, principal: int) -> None:
        """The limits are asked before the body is read."""
        user, key = PRINCIPALS[principal % len(PRINCIPALS)]
        identity = f"{self.app}-{next(self.numbers):03}"
        said = await self.worker_ledger.ledger.enter(identity, self.policy(user, key), WORKLOAD)
        if isinstance(said, Admitted):
            assert said.hold.request_id == f"{identity}-entry"
            self.entered.append((identity, principal, said.hold))
        self._check(said, self.model.enter(f"{identity}-entry", user, key))

    async def declare(self, which: int, bound: Mapping[Unit, int]) -> None:
        """The body is read; a refusal gives the slot back, and nothing else has changed."""
        if not self.entered:
            return
        identity, principal, slot = self.entered.pop(which % len(self.entered))
        user, key = PRINCIPALS[principal % len(PRINCIPALS)]
        said = await self.worker_ledger.ledger.admit(
            identity, self.policy(user, key).after_body, workload=WORKLOAD, model=MODEL, units=bound
        )
        self._check(said, self.model.admit(identity, user, key, bound, entered=True))
        self.slots.append(slot)
        if isinstance(said, Admitted):
            self.holds.append(said.hold)
        else:
            await self.leave(len(self.slots) - 1)

    async def leave(self, which: int) -> None:
        """A request gives its slot back; of one whose body was not read, nothing is left."""
        if not self.slots:
            self.slots, self.entered = [slot for _, _, slot in self.entered], []
        if self.slots:
            slot = self.slots.pop(which % len(self.slots))
            self.worker_ledger.ledger.release(slot)
            await self.worker_ledger.ledger.drain()
            self.model.release(slot.request_id)

    def _check(self, said: Admitted | Denied, expected: Verdict) -> None:
        """Compare a decision of the ledger with that of the model."""
        if isinstance(said, Denied):
            verdict = Verdict(said.limit_state.policy, ((said.limit_state.policy, said.limit_state.remaining, 0),))
        else:
            shadow = said.shadow_refusals
            verdict = Verdict(None, tuple((each.policy, each.remaining, 0) for each in said.limit_states), shadow)
            resets = [each.reset_seconds for each in said.limit_states]
            assert resets == [-(-reset // 1000) for _, _, reset in expected.limit_states]
        assert verdict == Verdict(
            expected.refused_by,
            tuple((policy, remaining, 0) for policy, remaining, _ in expected.limit_states),
            expected.shadow,
        )

    async def settle(self, which: int, units: Mapping[Unit, int]) -> None:
        await self._end(self._take(which, living=True), units)

    async def settle_late(self, which: int, units: Mapping[Unit, int]) -> None:
        await self._end(self._take(which, living=False), units)

    async def record(self, which: int, units: Mapping[Unit, int]) -> None:
        """A request whose hold Redis has never heard of, or has lost."""
        user, key = PRINCIPALS[which % len(PRINCIPALS)]
        policy = self.policy(user, key)
        prices = policy.prices(WORKLOAD, MODEL)
        hold = Hold(
            request_id=f"{self.app}-{next(self.numbers):03}",
            app=self.app,
            user=user,
            key=policy.key,
            plan=policy.plan_id,
            workload=WORKLOAD,
            model=MODEL,
            started_ms=self.runner.now_ms,
            entries=policy.reserve({Unit.REQUESTS: 1, Unit.OUTPUT_TOKENS: 5}, 7, prices)[1],
        )
        await self._end(hold, units)

    async def release(self, which: int) -> None:
        hold = self._take(which, living=None)
        if hold:
            self.worker_ledger.ledger.release(hold)
            await self.worker_ledger.ledger.drain()
            self.model.release(hold.request_id)

    async def renew(self, which: int) -> None:
        holds = [*self.holds, *self.slots, *(slot for _, _, slot in self.entered)]
        if holds:
            hold = holds[which % len(holds)]
            shared = self.worker_ledger.keys.shared(self.worker_ledger.keys.tag(self.app))
            leases = [entry.keys[0] for entry in hold.entries if entry.kind == "c"]
            await self.runner.run(Call(RENEW, [shared.holds, *leases], [hold.request_id, HOLD_MS]))
            self.model.renew(hold.request_id)

    async def reap(self) -> None:
        await self.reaper.sweep()
        self.model.reap()

    async def die(self) -> None:
        """Nobody renews, and the reaper comes."""
        await self.wait(HOLD_MS)
        await self.reap()

    async def wait(self, milliseconds: int) -> None:
        self.runner.now_ms += milliseconds
        self.model.now += milliseconds

    async def grant(self, user: str | None, amount: int, reference: int) -> None:
        try:
            await grant(self.runner, self.worker_ledger.keys, self.app, user, amount, reference=f"{reference}")
        except ReferenceTaken:
            assert self.model.references[f"{reference}"] != (user, amount)
        self.model.grant(user, amount, f"{reference}")

    async def debit(self, user: str | None, amount: int, reference: int) -> None:
        try:
            await debit(self.runner, self.worker_ledger.keys, self.app, user, amount, reference=f"{reference}")
        except ReferenceTaken:
            assert self.model.references[f"{reference}"] != (user, -amount)
        except InsufficientBalance:
            assert f"{reference}" not in self.model.references
        self.model.grant(user, -amount, f"{reference}")

    def _take(self, which: int, *, living: bool | None) -> Hold | None:
        fitting = [hold for hold in self.holds if living is None or (hold.request_id in self.model.holds) is living]
        if not fitting:
            return None
        hold = fitting[which % len(fitting)]
        self.holds.remove(hold)
        return hold

    async def _end(self, hold: Hold | None, units: Mapping[Unit, int]) -> None:
        if hold is None:
            return
        key = hold.key and hold.key.partition("-")[0]
        self.worker_ledger.settle(hold, self.policy(hold.user, key), units, at=self.runner.now_ms)
        await self.worker_ledger.ledger.drain()
        self.model.settle(hold.request_id, {Unit.REQUESTS: 1, **units}, hold.user, key)

    async def compare(self) -> None:
        """All that Redis has of this app against all that the model has."""
        shared = self.worker_ledger.keys.shared(self.worker_ledger.keys.tag(self.app))
        events, open_holds, bodies = await asyncio.gather(
            self.redis.xrange(shared.events),
            self.redis.zrange(shared.holds, 0, -1, withscores=True),
            self.redis.hkeys(shared.bodies),
        )
        assert [self._event(fields) for _, fields in events] == self.model.events
        assert {name.decode(): int(score) for name, score in open_holds} == {
            identity: holding.expires for identity, holding in self.model.holds.items()
        }
        assert {name.decode().partition(":")[0] for name in bodies} == set(self.model.holds)
        await self._compare_leases()
        await self._compare_totals()

    async def _compare_leases(self) -> None:
        now = self.model.now
        for (name, subject), expected in self.model.leases.items():
            found = await self.redis.zrange(self._key(name, subject), 0, -1, withscores=True)
            assert {request.decode(): int(score) for request, score in found if score > now} == {
                request: expiry for request, expiry in expected.items() if expiry > now
            }

    def _event(self, fields: Mapping[bytes, bytes]) -> tuple[Any, ...]:
        event = DECODER.decode(fields[b"event"])
        wallet = fields.get(b"wallet")
        identity = event.id.replace(f"credit-{self.app}-", "credit-")
        return identity, event.type, int(fields[b"amount"]), event.units, wallet.decode() if wallet else None

    async def _compare_totals(self) -> None:
        keys = self.worker_ledger.keys
        expected: dict[tuple[str, str], int] = {}
        for (name, subject, period), number in self.model.used.items():
            expected[self._key(name, subject), f"used:{period}"] = number
        for (name, subject), number in self.model.held.items():
            expected[self._key(name, subject), "held"] = number
        for (unit, user, period), number in self.model.included.items():
            per = next(each.per for each in self.plan.allowances if each.unit is unit)
            subject = f"{self.app}:{user if user != 'None' else ''}"
            expected[keys.rule(self.app, "allowance", "user", subject, f"{unit}:{per}"), f"used:{period}"] = number
        for owner, wallet in self.model.wallets.items():
            for name in ("granted", "spent", "held"):
                expected[keys.wallet(self.app, owner), name] = getattr(wallet, name)
        model = MODEL.replace("%", "%25").replace("|", "%7C")
        for (day, spender, credential, what), number in self.model.usage.items():
            head = f"{spender}|{credential and f'{credential}-{self.app}'}|{WORKLOAD}|{model}"
            expected[keys.usage(self.app, day), f"{head}|{what}"] = number
        names = sorted({key for key, _ in expected})
        states = await asyncio.gather(*(self.redis.hgetall(name) for name in names))
        found = {
            (name, field.decode()): int(number)
            for name, state in zip(names, states, strict=True)
            for field, number in state.items()
        }
        assert {total: found.get(total, 0) for total in expected | found} == {
            total: expected.get(total, 0) for total in expected | found
        }

    def _key(self, name: str, subject: str) -> str:
        """Where a cap is counted, from its policy's name."""
        for user, key in PRINCIPALS:
            for rule, mine in zip(self.policy(user, key).rules, self.model.rules(user, key), strict=True):
                if mine.key == (name, subject):
                    assert rule.policy == name
                    return rule.keys[0]
        raise AssertionError(name, subject)


async def play(store: Store, worker_ledger: WorkerLedger, clocked: Clocked, case: Case) -> None:
    chosen, before_new_year, funds, steps = case
    clocked.now_ms = NEW_YEAR - before_new_year
    world = World(store, worker_ledger, clocked, chosen)
    try:
        if funds:
            await world.grant(None, funds, -1)
        for what, *words in moves(steps):
            await getattr(world, what)(*words)
        await world.compare()
    except AssertionError as error:
        error.add_note("\n".join(map(str, moves(steps))))
        raise
    finally:
        shared = worker_ledger.keys.shared(worker_ledger.keys.tag(world.app))
        await store.redis.delete(shared.holds, shared.bodies, shared.events)


@given(case=CASE)
@settings(max_examples=examples(200, 2_000), deadline=None, suppress_health_check=list(HealthCheck))
async def test_no_divergence(store: Store, worker_ledger: WorkerLedger, clocked: Clocked, case: Case) -> None:
    await play(store, worker_ledger, clocked, case)


@pytest.mark.fuzz
@pytest.mark.timeout(3_600)
@given(case=CASE)
@settings(max_examples=100_000, deadline=None, suppress_health_check=list(HealthCheck))
async def test_no_divergence_in_a_long_campaign(
    store: Store, worker_ledger: WorkerLedger, clocked: Clocked, case: Case
) -> None:
    await play(store, worker_ledger, clocked, case)
