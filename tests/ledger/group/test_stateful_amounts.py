"""Hazards of shares of caps and balances, whatever happens in whatever order: more than there is, something that stays
reserved, an end that counts twice or not at all. Workers that lose replies and die, against a model in plain Python."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw, structs

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.admission.key_limits import KeyLimits, KeyTerms
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.admission.rules import LimitRule
from middlewares.ledger.credit.change import read
from middlewares.ledger.credit.lots import PLAIN, LotTerms
from middlewares.ledger.credit.prepaid import InsufficientBalance, debit, grant
from middlewares.ledger.group_commit.commit_call import commit_call, in_order
from middlewares.ledger.model import Hold, Settlement
from middlewares.ledger.periods import period_of
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import ADMIT, RECALL
from middlewares.ledger.settlement.event import DECODER, ENCODER
from middlewares.ledger.settlement.reaper import Reaper
from middlewares.ledger.settlement.settle_call import settle_call
from middlewares.ledger.settlement.settler import Settler, orphan
from middlewares.ledger.shares.share import AMOUNTS, Share, hold_of
from middlewares.store import Call
from proxy.store.store import Store
from tests.ledger.group.test_stateful_shares import CALL_MS, LIFE_MS, LONG_MS, UNHURRIED
from tests.ledger.redis_time import HOLD_MS, NEW_YEAR, Clocked
from tests.ledger.worker_ledger import MODEL, WORKLOAD, event_of, never_rejected
from tests.support.examples import examples, new_name

pytestmark = pytest.mark.ci


HUGE = 10**27
TOKEN = HUGE // 997
"""Price of one, so that amounts are far past 64 bits."""
PRICES = [{"unit": "output_tokens", "amount": TOKEN}]
TOKENS = {"unit": "output_tokens", "per": "day", "max": 600}
MONEY = {"unit": "amount", "per": "month", "max": 500 * TOKEN + 1}
LARGE = {"requests_per_minute": 10**6, "concurrent": 10**4}


def plan(**fields: Any) -> Plan:
    return Plan.model_validate({"prices": PRICES, **fields})


PLANS = [
    plan(billing="usage", limits={"app": {"caps": [TOKENS]}}),
    plan(billing="usage", limits={"app": {"caps": [MONEY, TOKENS]}}, on_orphan="estimate"),
    plan(billing="credits", on_orphan="estimate"),
    plan(billing="credits", limits={"app": {**LARGE, "caps": [MONEY]}, "user": {"caps": [TOKENS]}}),
    plan(
        billing="usage",
        limits={"app": {**LARGE, "caps": [MONEY]}},
        allowances=[
            {"unit": "output_tokens", "per": "day", "included": 300, "overage": "refuse"},
            {"unit": "amount", "per": "month", "included": 90 * TOKEN},
        ],
    ),
]
USERS = (None, "u1")
NEEDS = (0, 1, 1, 2, 5, 5, 20, 90)
NUMBERS = (0, 1, 2, 3, 8, 20, 40)
CREDITS = (1, 7 * TOKEN, 100 * TOKEN + 3, 400 * TOKEN)
WAITS = (1, 20, 100, 100, 250, 499, 900, LIFE_MS, LIFE_MS + 1, 5_000, HOLD_MS)
MOVES = (
    *("ask",) * 3,
    *("work",) * 8,
    *("take",) * 3,
    *("end",) * 6,
    *("commit",) * 4,
    *("acknowledge",) * 3,
    *("direct",) * 4,
    *("settle_direct",) * 2,
    *("recall",) * 3,
    *("wait",) * 4,
    *("send",) * 3,
    *("arrive", "answer", "lose", "be_late", "come_again") * 2,
    *("release", "write_alone", "refund", "debit", "give_all_back"),
    *("die", "adopt", "grant") * 2,
)
STEP = 3
CASE = st.tuples(
    st.sampled_from(PLANS),
    st.booleans(),
    st.sampled_from([-1_500, -500, 0]),
    st.binary(min_size=25 * STEP, max_size=45 * STEP),
)
Case = tuple[Plan, bool, int, bytes]
"""Plan, True if nothing costs more than its hold and no credits are taken back, milliseconds after the new year, and
what happens."""


def moves(data: bytes) -> Iterator[tuple[str, int, int]]:
    """What happens, as methods of `World` and their arguments."""
    for start in range(0, len(data) - STEP + 1, STEP):
        what, which, word = data[start : start + STEP]
        yield MOVES[what % len(MOVES)], which, word


def number_of(word: int) -> int:
    return NUMBERS[word % len(NUMBERS)]


def amounts_of(policy: Policy) -> list[LimitRule]:
    return [rule for rule in policy.rules if rule.kind in AMOUNTS]


def reserved_in(bodies: Mapping[bytes, bytes]) -> dict[str, dict[str, int]]:
    """What each share has reserved of each key, by the records beside the bodies of holds."""
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for name, value in bodies.items():
        share, bar, key = name.decode().partition("|")
        if bar:
            admitted, committed, _ = map(int, value.split())
            found[share][key] = admitted - committed
    return found


@dataclass
class Flight:
    """A call of a worker that has not been answered."""

    call: Call
    wanted: int
    sent: int
    reply: list[Any] | None = None


@dataclass
class Worker:
    """A worker, alive or dead."""

    share: Share
    incarnation: str
    open: dict[str, Hold] = field(default_factory=dict)
    """Requests that were admitted from its share and run."""
    ended: list[Settlement] = field(default_factory=list)
    """Ends that are not in Redis."""
    unsaid: list[Hold] = field(default_factory=list)
    """Requests whose end is in Redis, which the worker has yet to learn."""
    flight: Flight | None = None
    lost: list[Call] = field(default_factory=list)
    """Calls that were given up, and may reach Redis still."""
    ran: int = 0
    """When a call reached Redis last."""
    groups: int = 0

    def holds(self) -> list[Hold]:
        """Return what Redis must have reserved of its share."""
        return [*self.open.values(), *(each.hold for each in self.ended)]


class World:
    """Workers over one Redis, and all that they have admitted and counted."""

    def __init__(self, store: Store, clocked: Clocked, plan: Plan, *, strict: bool) -> None:
        self.redis: Any = store.redis
        self.runner = clocked
        self.strict = strict
        self.keys = RedisKeys(1, cluster=False)
        self.shared = self.keys.shared(self.keys.tags[0])
        self.app = new_name()
        self.settler = Settler(clocked, self.keys, never_rejected)
        self.reaper = Reaper(clocked, self.keys, self.settler, self._never, self._lost)
        terms = KeyTerms(self.app, KeyLimits(spend_total=f"{700 * TOKEN}"))
        self.policies = [
            Policy(self.keys, app=self.app, user=user, key=None, name="plan", plan=plan, terms=terms) for user in USERS
        ]
        self.numbers = itertools.count()
        self.workers = [self._worker(policy) for policy in (*self.policies, self.policies[0])]
        self.dead: list[Worker] = []
        self.reaped = False
        """True once a share was ended before its requests were: others may have spent since what they reserved."""
        self.direct_holds: dict[str, tuple[Hold, Policy]] = {}
        self.granted: Counter[str] = Counter()
        self.used: Counter[tuple[str, str]] = Counter()
        """What ends have counted, by key and field; of what allowances change only the sum of events is known."""
        self.prices: dict[str, int] = {}
        """Amount of each event that must be there, before allowances."""

    @staticmethod
    def _never(what: object) -> None:
        raise AssertionError(what)

    @staticmethod
    def _lost(reason: str) -> None:
        assert "was never returned" in reason  # these workers have no logs

    @property
    def now(self) -> int:
        return self.runner.now_ms

    def _worker(self, policy: Policy) -> Worker:
        identity = f"share-{self.app}-{next(self.numbers)}"
        return Worker(Share(identity, policy, hold_of(identity, policy, self._hold(policy, 0))), identity, ran=self.now)

    def _hold(self, policy: Policy, tokens: int) -> Hold:
        """As `Admission.admit` makes it."""
        units = {Unit.REQUESTS: 1, Unit.OUTPUT_TOKENS: tokens}
        prices = policy.prices(WORKLOAD, MODEL)
        amount = policy.estimate(prices, units)
        return Hold(
            request_id=f"{self.app}-{next(self.numbers):05}",
            app=self.app,
            user=policy.user,
            key=None,
            plan=policy.plan_id,
            workload=WORKLOAD,
            model=MODEL,
            started_ms=self.now,
            estimate=str(amount),
            fixed=str(policy.estimate(policy.fixed(prices), units)) if policy.allowed else "",
            units=units,
            on_orphan=policy.on_orphan,
            entries=policy.reserve(units, amount, prices)[1],
        )

    def _chosen(self, which: int) -> Worker:
        return self.workers[which % len(self.workers)]

    # What there is, and what is reserved.

    async def _key(self, rule: LimitRule, share: Share | None = None) -> str:
        """Return the key in which a request reserves: of a balance, the wallet that pays."""
        app, user = rule.keys[0], rule.keys[-1]
        if share and await self.redis.hexists(self.shared.bodies, f"{share.share_id}|{app}"):
            return app
        return user if user != app and await self.redis.exists(user) else app

    async def _reserved(self) -> dict[str, dict[str, int]]:
        """Return what each share has reserved of each key, by Redis's records."""
        return reserved_in(await self.redis.hgetall(self.shared.bodies))

    async def _left(self, rule: LimitRule, key: str) -> int:
        """Return what Redis says is left, without what has expired of lots."""
        if rule.kind == "b":
            return (await read(self.runner, key))[1].available
        period = f"used:{period_of(rule.kind, self.now)}"
        used, held = [int(each or 0) for each in await self.redis.hmget(key, (period, "held"))]
        return rule.limit - used - held

    async def check(self) -> None:
        """What is held is what runs and what shares have; and each share has what it may admit and what runs of it."""
        keys = sorted({key for policy in self.policies for rule in amounts_of(policy) for key in rule.keys})
        pipeline = self.redis.pipeline(transaction=False).hgetall(self.shared.bodies)
        for key in keys:
            pipeline.hget(key, "held")
        bodies, *found = await pipeline.execute()
        reserved = reserved_in(bodies)
        held: Counter[str] = Counter()
        for amounts in reserved.values():
            held.update(amounts)
        for hold, policy in self.direct_holds.values():
            of_user = f"{hold.request_id}:wallet".encode() in bodies
            for rule, need in self._needs(policy, hold).items():
                held[rule.keys[-1] if of_user and rule.kind == "b" else rule.keys[0]] += need
        assert {key: int(number or 0) for key, number in zip(keys, found, strict=True)} == {
            key: held[key] for key in keys
        }
        for worker in self.workers:
            mine = reserved.get(worker.share.share_id, {})
            runs: Counter[LimitRule] = Counter()
            for hold in worker.holds():
                runs.update(self._needs(worker.share.policy, hold))
            for each in worker.share.amounts:
                unused = each.unused if self.now / 1000 < worker.share.expires else 0
                has = sum(mine.get(key, 0) for key in set(each.rule.keys))
                assert has >= runs[each.rule] + unused, each.rule.policy

    @staticmethod
    def _needs(policy: Policy, hold: Hold) -> dict[LimitRule, int]:
        held = [int(entry.held) for entry in hold.entries if entry.kind in AMOUNTS]
        return dict(zip(amounts_of(policy), held, strict=True))

    # Requests.

    async def take(self, which: int, word: int) -> None:
        worker = self._chosen(which)
        for _ in range(number_of(word)):
            hold = self._hold(worker.share.policy, NEEDS[(which >> 3) % len(NEEDS)])
            if worker.share.take(self.now / 1000, hold) is None:
                return
            hold.shared, hold.share = True, worker.share.share_id
            hold.entries = tuple(entry for entry in hold.entries if entry.kind != "c")
            worker.open[hold.request_id] = hold

    def _settlement(self, hold: Hold, policy: Policy, word: int) -> Settlement:
        """The end of a request, which may have used more than it holds."""
        most = hold.units[Unit.OUTPUT_TOKENS] * (1 if self.strict else 2)
        units = {Unit.REQUESTS: 1, Unit.OUTPUT_TOKENS: min(most, NEEDS[word % len(NEEDS)] * 2)}
        amount = policy.estimate(policy.fixed(policy.prices(WORKLOAD, MODEL)), units)
        event = Raw(ENCODER.encode(event_of(hold, units, self.now)))
        return Settlement(hold, event, self.now, units, str(amount), work_done=True, attempted_ms=self.now)

    async def end(self, which: int, word: int) -> None:
        worker = self._chosen(which)
        for request_id in list(worker.open)[: number_of(word)]:
            hold = worker.open.pop(request_id)
            worker.share.give_back()
            worker.ended.append(self._settlement(hold, worker.share.policy, word >> 2))

    async def release(self, which: int, _: int) -> None:
        """A request of which nothing is counted."""
        worker = self._chosen(which)
        for request_id in list(worker.open)[:2]:
            worker.share.give_back()
            worker.share.release(worker.open.pop(request_id))

    def _count(self, settlement: Settlement) -> None:
        """Take in that an end is in Redis."""
        hold = settlement.hold
        assert hold.request_id not in self.prices
        self.prices[hold.request_id] = int(settlement.amount)

    async def commit(self, which: int, word: int) -> None:
        """A group is committed; the worker learns of it later."""
        worker = self._chosen(which)
        group, worker.ended = worker.ended[: number_of(word)], worker.ended[number_of(word) :]
        if group:
            worker.groups += 1
            call = commit_call(self.keys, self.keys.tags[0], worker.incarnation, worker.groups, in_order(group))
            assert await self.runner.run(call) == [1] + [1] * len(group)
            for each in group:
                self._count(each)
                worker.unsaid.append(each.hold)

    async def write_alone(self, which: int, _: int) -> None:
        """The end of a request whose group Redis has refused, or whose reply was lost."""
        worker = self._chosen(which)
        if worker.ended:
            settlement = worker.ended.pop(0)
            assert await self.settler.settle_again([settlement]) == 1
            self._count(settlement)
            worker.unsaid.append(settlement.hold)
            assert await self.settler.settle_again([settlement]) == 0

    async def acknowledge(self, which: int, _: int) -> None:
        worker = self._chosen(which)
        for hold in worker.unsaid:
            worker.share.commit(hold)
        worker.unsaid = []

    async def _admit(self, policy: Policy, tokens: int) -> tuple[LimitRule, int] | None:
        """Let Redis admit a request; return the rule that refuses it, and what it needs of that."""
        hold = self._hold(policy, tokens)
        rules, _ = policy.reserve(hold.units, int(hold.estimate), policy.prices(WORKLOAD, MODEL))
        arguments = hold.request_id, LONG_MS, ENCODER.encode(hold), 0
        reply: list[Any] = await self.runner.run(Call(ADMIT, (), arguments, policy.admit_keys, rules))
        if reply[0] == 0:
            rule = policy.rules[reply[2] - 1]
            return rule, self._needs(policy, hold)[rule]
        self.direct_holds[hold.request_id] = hold, policy
        return None

    async def direct(self, which: int, word: int) -> None:
        policy, tokens = self.policies[which % 2], NEEDS[(which >> 3) % len(NEEDS)]
        await asyncio.gather(*(self._admit(policy, tokens) for _ in range(number_of(word))))

    async def settle_direct(self, _: int, word: int) -> None:
        for request_id in list(self.direct_holds)[: number_of(word)]:
            hold, policy = self.direct_holds.pop(request_id)
            settlement = self._settlement(hold, policy, word >> 2)
            reply = await self.runner.run(settle_call(self.keys, settlement, "settle"))
            assert reply[0] == 1
            self._count(settlement)

    # Calls, in the parts that other things may happen between.

    def _send(self, worker: Worker, wanted: int, *, latest: int | None = None) -> None:
        worker.share.asking = True
        latest = self.now + CALL_MS if latest is None else latest
        call = worker.share.call(self.now / 1000, LIFE_MS, HOLD_MS, latest, wanted)
        worker.flight = Flight(structs.replace(call, script=UNHURRIED), wanted, self.now)

    async def _arrive(self, worker: Worker) -> list[Any]:
        flight = worker.flight
        assert flight
        if flight.reply is None:
            flight.reply = await self.runner.run(flight.call)
            worker.ran = self.now
            if flight.reply[0] == 1:
                for rule in amounts_of(worker.share.policy):
                    left = await self._left(rule, await self._key(rule, worker.share))
                    assert left >= 0, f"a share of more than there is of {rule.policy}"
        return flight.reply

    async def _answer(self, worker: Worker) -> None:
        """As the end of `Shares._ask`."""
        flight = worker.flight
        assert flight
        reply = await self._arrive(worker)
        worker.share.asking, worker.flight = False, None
        if reply[0] == 1:
            worker.share.granted(reply)
            worker.share.expires = (flight.sent + LIFE_MS) / 1000
        elif reply[0] == 0:
            worker.share.refused()
            if not flight.wanted and not worker.share.in_use and not worker.share.has_unused:
                worker.share.expires = 0.0
        else:
            worker.share.too_late()

    def _lose(self, worker: Worker) -> None:
        assert worker.flight
        if worker.flight.reply is None:
            worker.lost.append(worker.flight.call)
        worker.share.asking, worker.flight = False, None
        worker.share.refused(known=False)

    async def _ask(self, worker: Worker, wanted: int) -> None:
        if worker.flight is not None:
            await self._answer(worker)
        self._send(worker, wanted)
        await self._answer(worker)

    async def ask(self, which: int, word: int) -> None:
        await self._ask(self._chosen(which), number_of(word))

    async def work(self, which: int, word: int) -> None:
        """Requests come, more than there is a share for, then a share, and as many again."""
        await self.take(which, word)
        await self.ask(which, word)
        await self.take(which, word >> 3)

    async def send(self, which: int, word: int) -> None:
        if self._chosen(which).flight is None:
            self._send(self._chosen(which), number_of(word))

    async def arrive(self, which: int, _: int) -> None:
        if self._chosen(which).flight:
            await self._arrive(self._chosen(which))

    async def answer(self, which: int, _: int) -> None:
        if self._chosen(which).flight:
            await self._answer(self._chosen(which))

    async def lose(self, which: int, word: int) -> None:
        """A call fails, whether Redis has done it or not."""
        worker = self._chosen(which)
        if worker.flight is None:
            self._send(worker, number_of(word))
        if word & 16:
            await self._arrive(worker)
        self._lose(worker)

    async def be_late(self, which: int, word: int) -> None:
        """A call that Redis does not act at any more."""
        worker = self._chosen(which)
        if worker.flight is None:
            self._send(worker, number_of(word), latest=self.now - 1)
            await self._answer(worker)

    async def come_again(self, which: int, _: int) -> None:
        """A call that was given up reaches Redis behind one that came later, which it must not undo."""
        worker = self._chosen(which)
        if worker.lost and worker.flight is None:
            await self._ask(worker, 3)
            if any(amount.in_use or amount.unused for amount in worker.share.amounts):  # else Redis has no record of it
                assert (await self.runner.run(worker.lost.pop()))[0] == -1

    # Deaths.

    async def die(self, which: int, word: int) -> None:
        """Another worker takes the place of this one. A call of it may still reach Redis."""
        worker = self._chosen(which)
        if worker.flight and word & 1:
            await self._arrive(worker)
        self.dead.append(worker)
        self.workers[self.workers.index(worker)] = self._worker(worker.share.policy)

    async def adopt(self, *_: int) -> None:
        """A sibling reads the logs of the dead: ends count, and what ran is orphaned."""
        for worker in self.dead:
            left = [*worker.ended, *(orphan(hold, self.now) for hold in worker.open.values())]
            for each in left:
                each.attempted_ms = each.hold.started_ms
            assert await self.settler.settle_again(left) == len(left)
            for each in left:
                self._count(each)
            worker.ended, worker.open = [], {}

    # Refusals, and credits.

    async def recall(self, which: int, word: int) -> None:
        """A request that is refused is asked again once all shares were given back: then there is too little."""
        policy, tokens = self.policies[which % 2], NEEDS[word % len(NEEDS)]
        refused = await self._admit(policy, tokens)
        if refused is None:
            return
        rule, need = refused
        others = await self.runner.run(Call(RECALL, rule.keys, (LONG_MS,)))
        key = await self._key(rule)
        if not others:
            for worker in self.workers:
                covers = [each for each in worker.share.amounts if key in each.rule.keys]
                unused = sum(each.unused for each in covers) if self.now / 1000 < worker.share.expires else 0
                of_key = (await self._reserved()).get(worker.share.share_id, {}).get(key)
                assert not unused or not of_key, "a share that is not recalled"
        await self.give_all_back()
        await self.redis.delete(*(name.replace("}:", "}:wanted:", 1) for name in rule.keys))
        if (again := await self._admit(policy, tokens)) and again[0] is rule:
            left = await self._left(rule, key)
            assert left < max(need, 1), f"refused by {rule.policy}, of which {left} are left for {need}"

    async def give_all_back(self, *_: int) -> None:
        """Nobody has anything unused any more, so that Redis holds what runs, and of the dead their shares."""
        for worker in self.workers:
            await self.acknowledge(self.workers.index(worker), 0)
            await self._ask(worker, 0)
            assert not worker.share.has_unused
        reserved = await self._reserved()
        for worker in self.workers:
            mine = sum(reserved.get(worker.share.share_id, {}).values())
            assert mine == sum(sum(self._needs(worker.share.policy, hold).values()) for hold in worker.holds())

    async def grant(self, which: int, word: int) -> None:
        """Credits come in, of a lot now and then, for the app or a user."""
        terms = PLAIN if word & 3 else LotTerms(expires_ms=self.now + WAITS[word % len(WAITS)])
        await grant(
            self.runner,
            self.keys,
            self.app,
            USERS[(which >> 2) % 2],
            CREDITS[which % len(CREDITS)],
            reference=f"{next(self.numbers)}",
            terms=terms,
        )

    async def refund(self, which: int, _: int) -> None:
        """Credits are taken back, whatever is left."""
        if not self.strict:
            number = next(self.numbers)
            await debit(self.runner, self.keys, self.app, None, 50 * TOKEN, reference=f"{number}", force=True)

    async def debit(self, which: int, _: int) -> None:
        amount = CREDITS[which % len(CREDITS)]
        try:
            await debit(self.runner, self.keys, self.app, None, amount, reference=f"{next(self.numbers)}")
        except InsufficientBalance:
            wallet = self.keys.wallet(self.app)
            for rule in self.policies[0].rules:
                assert rule.kind != "b" or await self._left(rule, wallet) < amount

    # Time.

    async def wait(self, _: int, word: int) -> None:
        """Let time pass: calls end at their deadline, and what is in use is renewed; then the reaper comes."""
        until = self.now + WAITS[word % len(WAITS)]
        while True:
            due = [
                (each.flight.sent + CALL_MS if each.flight else each.ran + HOLD_MS // 3, number)
                for number, each in enumerate(self.workers)
                if each.flight or each.share.in_use or each.share.has_unused
            ]
            if not due or min(due)[0] > until:
                break
            time, number = min(due)
            self.runner.now_ms = max(self.now, time)
            worker = self.workers[number]
            if worker.flight is not None:
                self._lose(worker)
            else:
                await self._ask(worker, 0)
        self.runner.now_ms = until
        await self.reaper.sweep()
        reserved = await self._reserved()
        self.reaped |= any(worker.holds() and worker.share.share_id not in reserved for worker in self.dead)

    async def finish(self) -> None:
        """All requests end, the dead are taken over, and all shares are given back: nothing is left."""
        for number, worker in enumerate(self.workers):
            while worker.open:
                await self.end(number, 3)
            while worker.ended:
                await self.commit(number, 3)
        while self.direct_holds:
            await self.settle_direct(0, 3)
        await self.adopt()
        await self.give_all_back()
        await self.check()
        for worker in self.workers:
            assert await self.redis.zscore(self.shared.holds, worker.share.share_id) is None
        self.runner.now_ms += HOLD_MS
        await self.reaper.sweep()
        await self.check()
        assert await self.redis.hlen(self.shared.bodies) == await self.redis.zcard(self.shared.holds) == 0
        await self.compare()

    async def compare(self) -> None:
        """Each request has one event, and what all of them count is what wallets and caps say."""
        seen: Counter[str] = Counter()
        totals: Counter[tuple[str, str]] = Counter()
        for _, fields in await self.redis.xrange(self.shared.events):
            event, amount = DECODER.decode(fields[b"event"]), int(fields[b"amount"])
            if wallet := fields.get(b"wallet"):
                key = self.keys.wallet(self.app, event.user if wallet == b"user" else None)
                totals[key, "granted" if event.type == "credit" else "spent"] += amount
            if event.type == "credit":
                continue
            seen[event.id] += 1
            policy = self.policies[USERS.index(event.user)]
            assert policy.allowed or amount == self.prices[event.id]
            for rule in policy.rules:
                if rule.kind in "dmt":
                    tokens = event.units.get(Unit.OUTPUT_TOKENS, 0)
                    field = f"used:{period_of(rule.kind, event.time)}"
                    totals[rule.keys[0], field] += amount if rule.sale_unit == "amount" else tokens
        assert seen == Counter(self.prices.keys())
        for (key, name), number in totals.items():
            assert int(await self.redis.hget(key, name) or 0) == number, (key, name)
        if self.strict and not self.reaped:
            for rule in (rule for policy in self.policies for rule in amounts_of(policy)):
                for key in set(rule.keys):
                    assert await self._left(rule, key) >= 0


async def play(store: Store, clocked: Clocked, case: Case) -> None:
    plan, strict, after_new_year, steps = case
    clocked.now_ms = NEW_YEAR + after_new_year
    world = World(store, clocked, plan, strict=strict)
    await store.redis.delete(world.shared.holds, world.shared.bodies, world.shared.events)
    try:
        await world.grant(3, 1)
        for what, which, word in moves(steps):
            await getattr(world, what)(which, word)
            await world.check()
        await world.finish()
    except AssertionError as error:
        error.add_note("\n".join(map(str, moves(steps))))
        raise


@given(case=CASE)
@settings(max_examples=examples(60, 2_000), deadline=None, suppress_health_check=list(HealthCheck))
async def test_shares_of_amounts_keep_to_what_there_is(store: Store, clocked: Clocked, case: Case) -> None:
    await play(store, clocked, case)


@pytest.mark.fuzz
@pytest.mark.timeout(3_600)
@given(case=CASE)
@settings(max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck))
async def test_shares_of_amounts_keep_to_what_there_is_in_a_long_campaign(
    store: Store, clocked: Clocked, case: Case
) -> None:
    await play(store, clocked, case)
