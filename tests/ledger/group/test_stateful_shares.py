"""Hazards of shares, whatever happens in whatever order: more than a limit, a refusal while something lies unused, a
share that is never given back. Workers that take shares, lose replies, and die, against a model in plain Python."""

from __future__ import annotations

import asyncio
import itertools
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.admission.rules import SLOTS, LimitRule
from middlewares.ledger.model import Hold
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import ADMIT, LEASES, RECALL, SHARE
from middlewares.ledger.settlement.event import ENCODER
from middlewares.ledger.shares.recall import RECALL_MS as RECALLED_MS
from middlewares.ledger.shares.share import Share, hold_of
from middlewares.ledger.shares.shares import CALL_SECONDS, LIFE_SECONDS
from middlewares.store import Call, Script
from proxy.store.store import Store
from tests.ledger.group.conftest import plan_of
from tests.ledger.redis_time import HOLD_MS, NEW_YEAR, Clocked
from tests.support.examples import examples, new_name

pytestmark = pytest.mark.ci


DAY = 86_400_000
LIFE_MS = int(LIFE_SECONDS * 1000)
CALL_MS = int(CALL_SECONDS * 1000)
LONG_MS = 100 * DAY
"""How long the model's own requests hold, and a recall in Redis, whose keys expire by its own clock: no test lasts so
long, and the model ends them itself."""
UNHURRIED = Script(SHARE.name, SHARE.source.replace(b"local KEPT = 10000", b"local KEPT = %d" % LONG_MS))
"""The script, but a machine that stands still makes Redis forget no share by its own clock."""
assert UNHURRIED != SHARE

PLANS = [
    plan_of(requests_per_minute=150, concurrent=100),
    plan_of(requests_per_minute=400, concurrent=120),
    plan_of(requests_per_minute=100),
    plan_of(requests_per_minute=120, requests_per_day=300),
    plan_of(concurrent=100),
]
WAITS = (
    *(1, 20, 50, 100, 100, 100, 100, 250, 250, 500, 900, 900, 999),
    *(LIFE_MS, LIFE_MS + 1, 5_000, HOLD_MS - LIFE_MS, HOLD_MS, 59_000, 60_000, 61_000, 70_000),
)
PAUSES = (0, 0, 0, 100, 500, 900, 999)
LONG_WAITS = (DAY // SLOTS, DAY - 60_000, DAY)
"""Of policies without concurrency: a worker that renews nothing for as long has given up its places."""
NUMBERS = (0, 1, 2, 3, 8, 20, 20, 40, 60, 100)
MOVES = (
    *("ask",) * 3,
    *("take",) * 3,
    *("work",) * 7,
    *("end",) * 3,
    *("direct",) * 3,
    *("recall",) * 2,
    *("release",) * 2,
    *("wait",) * 6,
    *("turn_over",) * 4,
    *("send",) * 2,
    *("arrive", "answer", "lose", "be_late", "die", "give_all_back"),
)
STEP = 3
"""Bytes that decide one step: cheap to draw, and they shrink well."""

CASE = st.tuples(
    st.sampled_from(PLANS),
    st.integers(2, 3),
    st.sampled_from([0, 1, 500, 999, DAY // SLOTS - 500]),
    st.binary(min_size=30 * STEP, max_size=50 * STEP),
)
Case = tuple[Plan, int, int, bytes]
"""Plan, number of workers, milliseconds after the new year, and what happens."""

Move = tuple[str, int, int]


def moves(data: bytes) -> Iterator[Move]:
    """What happens, as methods of `World` and their arguments."""
    for start in range(0, len(data) - STEP + 1, STEP):
        what, which, word = data[start : start + STEP]
        yield MOVES[what % len(MOVES)], which, word


def number_of(word: int) -> int:
    return NUMBERS[word % len(NUMBERS)]


def beside(rule: LimitRule, name: str) -> str:
    """Return the key of something beside that of a rule, as `beside.lua` does."""
    return rule.keys[0].replace("}:", f"}}:{name}:", 1)


@dataclass
class Flight:
    """A call of a worker that has not been answered."""

    call: Call
    wanted: int
    sent: int
    places: int
    """Places of concurrency that it notes for as long as a hold."""
    reply: list[int] | None = None
    """What Redis says; None: the call has yet to reach it."""


@dataclass
class Worker:
    """A worker, alive or dead, and the model of it."""

    share: Share
    open: int = 0
    """Requests that were admitted from its share and have not ended."""
    flight: Flight | None = None
    ran: int = -LONG_MS
    """When a call reached Redis last, Unix milliseconds."""
    noted: int = 0
    """Places that it has noted then for as long as a hold; others are for as long as the share."""
    freed: int = 0
    """Requests that have ended since the last call was sent."""

    def has_places_at(self, now: int) -> int:
        """Return how many of its requests have places, if it is dead."""
        noted = min(self.open, self.noted) if now < self.ran + HOLD_MS else 0
        return noted + (max(0, self.open - self.noted) if now < self.ran + LIFE_MS else 0)


class World:
    """Workers over one Redis, and all that they have admitted."""

    def __init__(self, store: Store, clocked: Clocked, plan: Plan, workers: int) -> None:
        self.redis: Any = store.redis
        self.runner = clocked
        self.keys = RedisKeys(1, cluster=False)
        app = new_name()
        self.policy = Policy(self.keys, app=app, user=None, key=None, name="plan", plan=plan)
        self.windows = [rule for rule in self.policy.rules if rule.kind == "w"]
        self.places = [rule for rule in self.policy.rules if rule.kind == "c"]
        self.numbers = itertools.count()
        self.workers = [self._worker() for _ in range(workers)]
        self.dead: list[Worker] = []
        self.held: list[str] = []
        """Requests that Redis has admitted, by their ids."""
        self.times: list[int] = []
        """When each request was admitted, in order."""
        self.slots: dict[LimitRule, list[int]] = {rule: [] for rule in self.windows}
        """The slot of each window in which each of them counts."""
        self.doubtful: dict[LimitRule, int] = dict.fromkeys(self.policy.rules, 0)
        """Until when more may be counted than was admitted, as a worker died or lost a reply."""
        self.recalled = 0
        """Until when nobody takes a share; 0: no recall."""

    @property
    def now(self) -> int:
        return self.runner.now_ms

    def _worker(self) -> Worker:
        identity = f"share-{self.policy.app}-{next(self.numbers)}"
        return Worker(Share(identity, self.policy, hold_of(identity, self.policy, self._hold(identity))))

    def _hold(self, identity: str) -> Hold:
        return Hold(
            request_id=identity,
            app=self.policy.app,
            user=None,
            key=None,
            plan=self.policy.plan_id,
            workload=Workload.LLM,
            model="",
            started_ms=self.runner.now_ms,
        )

    def _chosen(self, which: int) -> Worker:
        return self.workers[which % len(self.workers)]

    # Requests.

    def _admitted(self, slots: dict[LimitRule, int]) -> None:
        """Take in one more request, and check that all windows have had room for it."""
        self.times.append(self.now)
        for rule, counted in self.slots.items():
            counted.append(slots[rule])
            assert rule.window_seconds is not None
            first = bisect_right(self.times, self.now - rule.window_seconds * 1000)
            assert len(self.times) - first <= rule.limit, f"more than {rule.limit} of {rule.policy}"

    async def take(self, which: int, word: int) -> None:
        worker = self._chosen(which)
        for _ in range(number_of(word)):
            before = [each.unused for each in worker.share.counts]
            if worker.share.take(self.now / 1000, worker.share.hold) is None:
                return
            worker.open += 1
            self._admitted(
                {
                    each.rule: each.slot if each.unused < unused else each.kept_slot
                    for each, unused in zip(worker.share.counts, before, strict=True)
                }
            )

    async def end(self, which: int, word: int) -> None:
        worker = self._chosen(which)
        self._end(worker, min(number_of(word), worker.open))

    def _end(self, worker: Worker, number: int) -> None:
        for _ in range(number):
            worker.share.give_back()
            worker.open -= 1
            worker.freed += 1

    async def _admit(self) -> LimitRule | None:
        """Let Redis admit a request; return the rule that refuses it."""
        identity = f"{self.policy.app}-{next(self.numbers)}"
        rules, _ = self.policy.reserve({Unit.REQUESTS: 1}, 0, ())
        arguments = identity, LONG_MS, ENCODER.encode(self._hold(identity)), 0
        reply: list[int] = await self.runner.run(Call(ADMIT, (), arguments, self.policy.admit_keys, rules))
        if reply[0] == 0:
            return self.policy.rules[reply[2] - 1]
        assert reply[0] == 1
        self.held.append(identity)
        self._admitted({rule: self.now // rule.parameter for rule in self.windows})
        return None

    async def direct(self, _: int, word: int) -> None:
        """Requests that Redis admits, or not; often so many that little is left."""
        await asyncio.gather(*(self._admit() for _ in range(2 * number_of(word))))

    async def release(self, _: int, word: int) -> None:
        await self._release(min(number_of(word), len(self.held)))

    async def _release(self, number: int) -> None:
        ended = [self.held.pop() for _ in range(number)]
        if self.places:
            leases = [rule.keys[0] for rule in self.places]
            await asyncio.gather(*(self.runner.run(Call(LEASES, leases, (each,))) for each in ended))

    # Calls, in the three parts that other things may happen between.

    def _send(self, worker: Worker, wanted: int, *, latest: int | None = None) -> Flight:
        worker.share.asking, worker.freed = True, 0
        call = worker.share.call(
            self.now / 1000, LIFE_MS, HOLD_MS, self.now + CALL_MS if latest is None else latest, wanted
        )
        call = structs.replace(call, script=UNHURRIED)
        places = sum(each.places for each in worker.share.counts)
        worker.flight = Flight(call, wanted, self.now, places)
        return worker.flight

    async def _arrive(self, worker: Worker) -> list[int]:
        flight = worker.flight
        assert flight
        if flight.reply is None:
            flight.reply = await self.runner.run(flight.call)
            if flight.reply[0] >= 0:
                worker.ran, worker.noted = self.now, flight.places
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
            worker.share.refused(known=False)
            self._doubt(self.windows)

    def _lose(self, worker: Worker) -> None:
        worker.share.asking, worker.flight = False, None
        worker.share.refused(known=False)
        self._doubt(self.windows)

    def _doubt(self, rules: list[LimitRule]) -> None:
        for rule in rules:
            last = (self.now + LIFE_MS) // rule.parameter if rule.parameter else 0
            self.doubtful[rule] = (last + SLOTS + 1) * rule.parameter if rule.parameter else self.now + HOLD_MS

    async def _ask(self, worker: Worker, wanted: int) -> None:
        if worker.flight is not None:
            await self._answer(worker)
        self._send(worker, wanted)
        await self._answer(worker)

    async def ask(self, which: int, word: int) -> None:
        await self._ask(self._chosen(which), number_of(word))

    async def work(self, which: int, word: int) -> None:
        """A worker renews its share and uses some of it within its life, as it does most of the time."""
        await self.ask(which, word)
        await self.wait_for(PAUSES[which % len(PAUSES)])
        await self.take(which, word >> 4)

    async def send(self, which: int, word: int) -> None:
        """Begin a call; one without which places in use would soon be lost is answered at once."""
        worker = self._chosen(which)
        if worker.flight is not None:
            return
        if self.places and self.now + CALL_MS >= worker.ran + LIFE_MS:
            await self._ask(worker, number_of(word))
        else:
            self._send(worker, number_of(word))

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

    async def die(self, which: int, word: int) -> None:
        """Another worker takes the place of this one. A call of it may still reach Redis."""
        worker = self._chosen(which)
        if worker.flight and word & 1:
            await self._arrive(worker)
        self._doubt([*self.policy.rules])
        self.dead.append(worker)
        self.workers[self.workers.index(worker)] = self._worker()

    # Refusals.

    async def recall(self, _: int, word: int) -> None:
        """Requests that Redis admits; what is refused is asked again once all shares were given back."""
        for _ in range(number_of(word)):
            refused_by = await self._admit()
            if refused_by is not None:
                break
        else:
            return
        others = await self.runner.run(Call(RECALL, refused_by.keys, (LONG_MS,)))
        if not others:
            for worker in self.workers:
                assert not self._lies_unused(worker, refused_by), "a share that is not recalled"
        self.recalled = self.now + RECALLED_MS
        await self.give_all_back()
        refused_by = await self._admit()
        if refused_by is not None and self.now >= self.doubtful[refused_by]:
            assert self._counted(refused_by) >= refused_by.limit, f"refused by {refused_by.policy}, which is not full"

    async def give_all_back(self, *_: int) -> None:
        """Nobody has anything unused any more, so that Redis counts what the model does."""
        for worker in self.workers:
            await self._ask(worker, 0)
            assert not worker.share.has_unused
        await self.compare()

    def _lies_unused(self, worker: Worker, rule: LimitRule) -> bool:
        """True if a worker may admit requests by its share of a limit, not counting places that were freed just now."""
        [share] = [each for each in worker.share.counts if each.rule is rule]
        freed = worker.freed if rule.kind == "c" else 0
        return self.now / 1000 < worker.share.expires and share.kept + share.unused > freed

    def _in_use(self) -> int:
        """Return how many requests have places; of dead workers those that Redis must still know of."""
        dead = sum(worker.has_places_at(self.now) for worker in self.dead)
        return len(self.held) + sum(worker.open for worker in self.workers) + dead

    def _counted(self, rule: LimitRule) -> int:
        """Return how much of a limit is used."""
        if rule.kind == "c":
            return self._in_use()
        return sum(slot >= self.now // rule.parameter - SLOTS for slot in self.slots[rule])

    # Time.

    async def wait(self, _: int, word: int) -> None:
        waits = WAITS if self.places else WAITS + LONG_WAITS
        await self.wait_for(waits[word % len(waits)])

    async def turn_over(self, which: int, word: int) -> None:
        """Many requests, and as many again as soon as the first slot of a window has left it, where they count."""
        await self.direct(which, word)
        for rule, slots in self.slots.items():
            counted = [slot for slot in slots if slot >= self.now // rule.parameter - SLOTS]
            if counted:
                await self.wait_for((min(counted) + SLOTS + 1) * rule.parameter - self.now)
                await self.direct(which, word)

    async def wait_for(self, milliseconds: int) -> None:
        """Let time pass: calls end at their deadline, places in use are renewed, and a recall is over."""
        until = self.now + milliseconds
        while (due := self._next_due())[0] <= until:
            time, worker = due
            self.runner.now_ms = max(self.now, time)
            if worker is None:
                await self.redis.delete(*(beside(rule, "wanted") for rule in self.policy.rules))
                self.recalled = 0
            elif worker.flight is not None:
                self._lose(worker)
            else:
                await self._ask(worker, 0)
        self.runner.now_ms = until

    def _next_due(self) -> tuple[int, Worker | None]:
        """Return when something has to be done, and for which worker; None: a recall ends."""
        found: list[tuple[int, Worker | None]] = [(self.recalled or NEW_YEAR + 100 * LONG_MS, None)]
        for worker in self.workers:
            if worker.flight is not None:
                found.append((worker.flight.sent + CALL_MS, worker))
            elif self.places and worker.open:
                lasts = HOLD_MS // 3 if worker.open <= worker.noted else LIFE_MS // 2
                found.append((max(self.now, worker.ran + lasts), worker))
        return min(found, key=lambda each: each[0])

    # Checks.

    def check(self) -> None:
        """No more requests have places than there are."""
        for rule in self.places:
            assert self._in_use() <= rule.limit, f"{self._in_use()} of {rule.limit} places are in use"

    async def compare(self) -> None:
        """Where nothing lies unused, Redis counts what was admitted, and no more."""
        for rule in self.windows:
            state = {name.decode(): int(value) for name, value in (await self.redis.hgetall(rule.keys[0])).items()}
            slots = {int(name): value for name, value in state.items() if name.isdigit()}
            assert sum(slots.values()) == state.get("count", 0)
            assert all(value >= 0 for value in slots.values())
            counted = sum(value for slot, value in slots.items() if slot >= self.now // rule.parameter - SLOTS)
            assert counted >= self._counted(rule)
            assert counted == self._counted(rule) or self.now < self.doubtful[rule]
        for rule in self.places:
            leases = await self.redis.zcount(rule.keys[0], f"({self.now}", "+inf")
            assert leases >= self._in_use()
            assert leases == self._in_use() or self.now < self.doubtful[rule]

    async def finish(self) -> None:
        """All requests end and all shares are given back: nothing is left, at the latest when no doubt is."""
        for worker in self.workers:
            self._end(worker, worker.open)
        await self._release(len(self.held))
        await self.give_all_back()
        shared = self.keys.shared(self.keys.tags[0])
        for worker in self.workers:
            assert await self.redis.zscore(shared.holds, worker.share.share_id) is None
            assert not await self.redis.hexists(shared.bodies, worker.share.share_id)
        dead = {worker.share.share_id for worker in self.dead}
        for rule in self.policy.rules:
            assert {name.decode() for name in await self.redis.hkeys(beside(rule, "shares"))} <= dead
            assert dead or rule.kind == "w" or not await self.redis.zcard(rule.keys[0])
        await self.wait_for(max(HOLD_MS, *((SLOTS + 2) * rule.parameter for rule in self.policy.rules)))
        assert await self._admit() is None
        await self.compare()


async def play(store: Store, clocked: Clocked, case: Case) -> None:
    plan, workers, after_new_year, steps = case
    clocked.now_ms = NEW_YEAR + after_new_year
    world = World(store, clocked, plan, workers)
    try:
        for what, which, word in moves(steps):
            await getattr(world, what)(which, word)
            world.check()
        await world.finish()
    except AssertionError as error:
        error.add_note("\n".join(map(str, moves(steps))))
        raise
    finally:
        shared = world.keys.shared(world.keys.tags[0])
        rules = [
            name for rule in world.policy.rules for name in (*rule.keys, beside(rule, "shares"), beside(rule, "wanted"))
        ]
        await store.redis.delete(shared.holds, shared.bodies, *rules)


@given(case=CASE)
@settings(max_examples=examples(40, 2_000), deadline=None, suppress_health_check=list(HealthCheck))
async def test_shares_keep_to_the_limits(store: Store, clocked: Clocked, case: Case) -> None:
    await play(store, clocked, case)


@pytest.mark.fuzz
@pytest.mark.timeout(3_600)
@given(case=CASE)
@settings(max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck))
async def test_shares_keep_to_the_limits_in_a_long_campaign(store: Store, clocked: Clocked, case: Case) -> None:
    await play(store, clocked, case)
