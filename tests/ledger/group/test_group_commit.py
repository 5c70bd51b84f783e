"""Hazards of committing in groups: an end that is counted twice, or never, or otherwise than by itself, because of the
others of its group, a reply that is lost, a Redis or a worker that dies.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.group_commit.commit_call import commit_call, in_order
from middlewares.ledger.group_commit.committer import GROUP_SIZE, GroupCommitter
from middlewares.ledger.group_commit.fences import ALL_GROUPS, Fences
from middlewares.ledger.group_commit.write_ahead_log import WriteAheadLog
from middlewares.ledger.model import Admitted, Hold, Settlement, Usage
from middlewares.ledger.periods import DAY_MS, day_of
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import COMMIT
from middlewares.ledger.settlement.event import DECODER, Event
from middlewares.ledger.settlement.journal import AdoptedJournal, adopt, read
from middlewares.ledger.settlement.journal_replay import adopt_journals
from middlewares.ledger.settlement.rejected import FILE
from middlewares.ledger.settlement.settler import Settler
from middlewares.store import Call, StoreTimeout
from proxy.store.breaker import BreakerState
from proxy.store.store import Store
from tests.history.beside import verify_in
from tests.ledger.group.conftest import GroupWorker, Open, make_busy, new_app
from tests.ledger.group.test_write_ahead_log import Disk, Syncs
from tests.ledger.test_journal import hold_of, settlement_of
from tests.ledger.worker_ledger import MODEL, WORKLOAD, WorkerLedger, event_of, never_rejected
from tests.store.servers import DURABLE, RedisServer, binaries
from tests.support.deployment import eventually

KEYS = RedisKeys(4, cluster=False)
HUGE = 10**27
COMPARED = ("user", "key", "model", "time", "units", "plan", "outcome", "held")
PLAIN = Plan.model_validate({"billing": "usage", "prices": [{"unit": "output_tokens", "amount": 3}]})
INCLUDED = Plan.model_validate(
    {
        "billing": "usage",
        "limits": {"app": {"requests_per_minute": 10**6, "concurrent": 10**4}},
        "prices": [
            {"unit": "output_tokens", "amount": HUGE // 10**9, "per": 7},
            {"unit": "pixels", "amount": 5, "per": 3},
            {"unit": "requests", "amount": 2},
        ],
        "allowances": [
            {"unit": "pixels", "per": "day", "included": 100},
            {"unit": "amount", "per": "month", "included": 10**20},
        ],
    }
)
DEAR = Plan.model_validate(
    {
        "billing": "usage",
        "prices": [{"unit": "pixels", "amount": HUGE, "per": 7}],
        "allowances": [{"unit": "amount", "per": "month", "included": HUGE}],
    }
)


def tokens(number: int) -> dict[Unit, int]:
    return {Unit.OUTPUT_TOKENS: number}


async def shared_holds(
    worker: GroupWorker,
    policy: Policy,
    number: int,
    *,
    models: Sequence[str] = (MODEL,),
    units: Mapping[Unit, int] | None = None,
) -> list[Hold]:
    """So many requests that are admitted from a share, of these models in turn; others are given back."""
    found: list[Hold] = []
    for each in await make_busy(worker, policy):
        worker.ledger.release(each.hold)
    turns = itertools.cycle(models)

    async def enough() -> bool:
        while len(found) < number:
            decided = await worker.ledger.admit(
                str(ULID()), policy, workload=WORKLOAD, model=next(turns), units=units or {}, may_share=True
            )
            assert isinstance(decided, Admitted), decided
            if not decided.hold.shared:
                worker.ledger.release(decided.hold)
                return False
            found.append(decided.hold)
        return True

    await eventually(enough)
    return found


async def events_of(redis: Store, apps: Iterable[str]) -> list[tuple[Event, int, int | None]]:
    """The events of these apps with amount and, where money is included, gross amount; no request has two."""
    client: Any = redis.redis
    apps = set(apps)
    entries = [
        (DECODER.decode(fields[b"event"]), fields)
        for tag in sorted({KEYS.tag(app) for app in apps})
        for _, fields in await client.xrange(KEYS.shared(tag).events)
    ]
    found = [
        (event, int(fields[b"amount"]), int(fields[b"gross"]) if b"gross" in fields else None)
        for event, fields in entries
        if event.app in apps
    ]
    assert max(Counter(event.id for event, _, _ in found).values(), default=1) == 1
    return found


async def counted(redis: Store, apps: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """All that is not particular to one app and request, by request id."""
    return {
        event.id: (*(getattr(event, name) for name in COMPARED), amount, gross)
        for event, amount, gross in await events_of(redis, apps)
    }


async def amounts_of(redis: Store, *apps: str) -> dict[str, int]:
    """Amount by request id."""
    return {event.id: amount for event, amount, _ in await events_of(redis, apps)}


async def totals_of(redis: Store, app: str, day: str) -> dict[str, int]:
    """The running totals of an app on a day."""
    client: Any = redis.redis
    found = await client.hgetall(KEYS.usage(app, day))
    return {name.decode(): int(value) for name, value in found.items()}


async def sums_of(redis: Store, app: str) -> dict[str, int]:
    """The running totals of an app over all days, users, keys and models, by unit."""
    client: Any = redis.redis
    sums: defaultdict[str, int] = defaultdict(int)
    async for key in client.scan_iter(match=KEYS.usage(app, "*"), count=1_000):
        for name, value in (await client.hgetall(key)).items():
            sums[name.decode().rpartition("|")[2]] += int(value)
    return dict(sums)


async def tokens_counted(redis: Store, app: str) -> tuple[int, int]:
    """Requests and output tokens of the running totals of an app."""
    sums = await sums_of(redis, app)
    return sums.get("requests", 0), sums.get("output_tokens", 0)


def log_of(worker: WorkerLedger) -> WriteAheadLog:
    assert worker.ledger.share_admission
    return worker.ledger.share_admission.log


def committer_of(worker: WorkerLedger) -> GroupCommitter:
    assert worker.ledger.share_admission
    return worker.ledger.share_admission.committer


class Withheld:
    """Commits of one worker that do not reach Redis, or whose replies do not reach the worker."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self._run = store.run
        self.calls: list[Call] = []
        """Those that it has seen."""
        self.replies: list[asyncio.Future[Any]] = []
        """Those that nobody hears of, unless the test says something."""
        self.runs = False
        """True: they run, and only their replies are lost."""
        self.times_out = False
        """True: each fails as one that got no reply; else nobody hears of it any more."""
        self.goes_on = False
        """True: nothing is withheld any more."""
        monkeypatch.setattr(store, "run", self.run)

    def run(self, call: Call, *, deadline: float | None = None) -> asyncio.Future[Any]:
        """As `ScriptRunner.run`."""
        if call.script is not COMMIT or self.goes_on:
            return self._run(call, deadline=deadline)
        self.calls.append(call)
        if self.times_out:
            return asyncio.ensure_future(self._lose(call))
        if self.runs:
            self._run(call)
        self.replies.append(asyncio.get_running_loop().create_future())
        return self.replies[-1]

    async def _lose(self, call: Call) -> None:
        if self.runs:
            await self._run(call)
        raise StoreTimeout("no reply", may_have_run=True)

    async def arrive(self) -> list[Any]:
        """All of them reach Redis now; its replies."""
        return [await self._run(call) for call in self.calls]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Starts servers of the test's own, which it may hurt."""
    servers: list[RedisServer] = []

    def started(*options: str) -> RedisServer:
        servers.append(RedisServer(binaries(tmp_path)[0], tmp_path / f"redis{len(servers)}", *options).start())
        return servers[-1]

    yield started
    for server in servers:
        server.kill()


@asynccontextmanager
async def worker_at(server: RedisServer, folder: Path, **options: Any) -> AsyncIterator[tuple[GroupWorker, Store]]:
    """A worker at this server, and a connection of nobody's."""
    async with (
        await Store.open(server.url, folder, deadline=30, control_timeout=30) as store,
        await Store.open(server.url, folder, deadline=30, control_timeout=30) as redis,
        GroupWorker(store, folder, **options) as worker,
    ):
        yield worker, redis


# What is counted


@pytest.mark.ci
async def test_a_group_counts_what_each_of_its_requests_would_count_alone(
    group_workers: Open, redis: Store, tmp_path: Path
) -> None:
    models = (MODEL, "other", "a|b%7C")
    principals: list[tuple[int, Plan, str | None, str | None]] = [
        (0, PLAIN, None, None),
        (0, PLAIN, "ann", "k1"),
        (0, PLAIN, "bob", "k2"),
        (1, INCLUDED, None, "k1"),
        (1, INCLUDED, "ann", "k1"),
        (2, INCLUDED, "bob", None),
        (3, PLAIN, None, "k1"),
    ]
    pairs = [(new_app(), new_app()) for _ in range(4)]
    names = dict(pairs)
    of_groups: list[str] = []
    by_itself: list[str] = []
    alone = WorkerLedger(redis, KEYS, tmp_path / "alone")
    async with group_workers() as [worker], alone:
        now = worker.ledger.clock.now_ms()
        work = []
        for number, plan, user, key in principals:
            policy = worker.policy(pairs[number][0], plan, user=user, key=key)
            work.append((policy, await shared_holds(worker, policy, 12, models=models)))
        ends = [
            (
                policy,
                holds[turn],
                {Unit.OUTPUT_TOKENS: 10 * turn, Unit.PIXELS: 9 * turn + place},
                now - turn % 2 * DAY_MS,
            )
            for turn in range(12)
            for place, (policy, holds) in enumerate(work)
        ]
        for policy, hold, units, at in ends:
            worker.settle(hold, policy, units, at=at)
            of_groups.append(hold.request_id)
        await worker.ledger.drain()
        assert log_of(worker).path.read_bytes() == b""
        for policy, hold, units, at in ends:
            same = alone.policy(names[policy.app], policy.plan, user=policy.user, key=policy.key)
            decided = await alone.ledger.admit(
                str(ULID()), same, workload=WORKLOAD, model=hold.model, units={}, may_share=True
            )
            assert isinstance(decided, Admitted)
            alone.settle(decided.hold, same, units, at=at)
            await alone.ledger.drain()
            by_itself.append(decided.hold.request_id)
    assert worker.reports.losses == alone.reports.losses == []
    found, expected = await counted(redis, names.keys()), await counted(redis, names.values())
    assert [found[each] for each in of_groups] == [expected[each] for each in by_itself]
    assert len(found) == len(expected) == 12 * len(principals)
    client: Any = redis.redis
    for app, other in pairs:
        for day in (day_of(now), day_of(now - DAY_MS)):
            totals = await totals_of(redis, app, day)
            assert totals == await totals_of(redis, other, day)
            assert sum(value for name, value in totals.items() if name.endswith("|requests")) > 0
    for place, user, unit in itertools.product((1, 2), ("", "ann", "bob"), ("pixels:day", "amount:month")):
        used, other_used = [
            await client.hgetall(KEYS.rule(app, "allowance", "user", f"{app}:{user}", unit)) for app in pairs[place]
        ]
        assert used == other_used


async def test_amounts_and_sums_are_exact_far_past_doubles(group_workers: Open, redis: Store) -> None:
    app = new_app()
    amounts = [HUGE, HUGE - 1, 2**53 + 1, 1, 0]
    pixels = [2**53, 1, 2**53 - 1, 2**62 + 1, 3]
    async with group_workers() as [worker]:
        now = worker.ledger.clock.now_ms()
        holds = await shared_holds(worker, worker.policy(app, PLAIN), 5)
        for hold, amount, number in zip(holds, amounts, pixels, strict=True):
            used = {Unit.REQUESTS: 1, Unit.PIXELS: number}
            worker.ledger.settle(hold, event_of(hold, used, now), Usage(used), amount)
        await worker.ledger.drain()
    assert await amounts_of(redis, app) == {
        hold.request_id: amount for hold, amount in zip(holds, amounts, strict=True)
    }
    assert await sums_of(redis, app) == {"requests": 5, "pixels": sum(pixels), "amount": sum(amounts)}


async def test_what_passes_an_allowance_is_exact_far_past_doubles(group_workers: Open, redis: Store) -> None:
    app = new_app()
    pixels = [1, 2, 10**9, 2**53 + 1, 3]
    async with group_workers() as [worker]:
        policy = worker.policy(app, DEAR)
        holds = await shared_holds(worker, policy, 5)
        for hold, number in zip(holds, pixels, strict=True):
            worker.settle(hold, policy, {Unit.PIXELS: number})
        await worker.ledger.drain()
    gross = [-(-number * HUGE // 7) for number in pixels]
    before = [sum(gross[:number]) for number in range(6)]
    expected = [max(0, upto - HUGE) - max(0, since - HUGE) for since, upto in pairwise(before)]
    by_id = await amounts_of(redis, app)
    assert [by_id[hold.request_id] for hold in holds] == expected
    assert await sums_of(redis, app) == {"requests": 5, "pixels": sum(pixels), "amount": before[-1] - HUGE}


async def test_more_than_a_group_holds_is_counted_all_the_same(group_workers: Open, redis: Store) -> None:
    """Of as many models, each with every unit, so that the calls are the longest there are."""
    app, number = new_app(), 3 * GROUP_SIZE + 1
    async with group_workers() as [worker]:
        policy = worker.policy(app, PLAIN)
        holds = await shared_holds(worker, policy, number, models=[f"model {each}" for each in range(number)])
        for hold in holds:
            worker.settle(hold, policy, dict.fromkeys(Unit, 1))
        await worker.ledger.drain()
    assert await amounts_of(redis, app) == {hold.request_id: 3 for hold in holds}
    assert await sums_of(redis, app) == {**dict.fromkeys(map(str, Unit), number), "amount": 3 * number}


async def test_a_request_that_was_never_forwarded_leaves_nothing(
    group_workers: Open, redis: Store, tmp_path: Path
) -> None:
    app = new_app()
    async with group_workers() as [worker]:
        policy = worker.policy(app, PLAIN)
        for hold in await shared_holds(worker, policy, 5):
            worker.ledger.release(hold)
        await worker.ledger.drain()
        journal = seen_by_a_sibling(log_of(worker), tmp_path / "copy")
        assert (journal.settlements, journal.orphans) == ([], [])
        journal.remove()
        assert log_of(worker).path.read_bytes() == b""
    assert await events_of(redis, [app]) == []
    assert await tokens_counted(redis, app) == (0, 0)


def seen_by_a_sibling(log: WriteAheadLog, folder: Path) -> AdoptedJournal:
    """What a sibling would find, were this worker dead by now."""
    folder.mkdir()
    (folder / log.path.name).write_bytes(log.path.read_bytes())
    [journal] = adopt(folder)
    return journal


# One that spoils it


@pytest.mark.parametrize("spoilt", ["usage", "allowance"])
async def test_a_settlement_that_redis_refuses_does_not_hold_up_its_group(
    group_workers: Open, redis: Store, tmp_path: Path, spoilt: str
) -> None:
    plan = PLAIN if spoilt == "usage" else INCLUDED
    apps = of_one_tag(4)
    async with group_workers() as [worker]:
        now = worker.ledger.clock.now_ms()
        policies = [worker.policy(app, plan) for app in apps]
        holds = [(await shared_holds(worker, policy, 1))[0] for policy in policies]
        keys = {
            "usage": KEYS.usage(apps[1], day_of(now)),
            "allowance": KEYS.rule(apps[1], "allowance", "user", f"{apps[1]}:", "pixels:day"),
        }
        await redis.redis.set(keys[spoilt], "not a hash")
        for policy, hold in zip(policies, holds, strict=True):
            worker.settle(hold, policy, {Unit.OUTPUT_TOKENS: 7, Unit.PIXELS: 7}, at=now)
        sound = [hold.request_id for hold in holds if hold.app != apps[1]]

        async def written() -> bool:
            return set(await amounts_of(redis, *apps)) >= set(sound)

        await eventually(written)
        await eventually(lambda: log_of(worker).path.stat().st_size == 0)
        assert [reason.partition(":")[0] for reason in worker.reports.losses] == [holds[1].request_id]
        later = (await shared_holds(worker, policies[0], 1))[0]
        worker.settle(later, policies[0], tokens(1), at=now)
        await worker.ledger.drain()
        await lose(redis, holds[1])
        await worker.ledger.after_failover()
        assert len(worker.reports.losses) == 1, "it is for a person to write, and nobody else"
    for app in (*apps[:1], *apps[2:]):
        assert await tokens_counted(redis, app) == ((2, 8) if app == apps[0] else (1, 7))
    [[kept], corrupt] = read((tmp_path / "journal" / FILE).read_bytes())
    assert kept.settlement
    assert (kept.settlement.hold.request_id, corrupt) == (holds[1].request_id, b"")
    assert os.listdir(tmp_path / "journal") == [FILE]
    await redis.redis.delete(keys[spoilt])


async def test_a_settlement_that_redis_refuses_is_refused_alone_too(
    group_workers: Open, redis: Store, tmp_path: Path
) -> None:
    app = new_app()
    async with group_workers() as [worker]:
        now = worker.ledger.clock.now_ms()
        policy = worker.policy(app, PLAIN)
        [hold] = await shared_holds(worker, policy, 1)
        await redis.redis.set(KEYS.usage(app, day_of(now)), "not a hash")
        worker.settle(hold, policy, tokens(1), at=now)
        await worker.ledger.drain()
        assert [reason.partition(":")[0] for reason in worker.reports.losses] == [hold.request_id]
    assert os.listdir(tmp_path / "journal") == [FILE]
    assert await events_of(redis, [app]) == []
    await redis.redis.delete(KEYS.usage(app, day_of(now)))


async def lose(redis: Store, hold: Hold) -> None:
    """Remove what Redis has of the end of a request, as a failover may."""
    client: Any = redis.redis
    stream = KEYS.shared(KEYS.tag(hold.app)).events
    for entry, fields in await client.xrange(stream):
        if DECODER.decode(fields[b"event"]).id == hold.request_id:
            await client.xdel(stream, entry)
    await client.delete(KEYS.marker(hold.app, hold.request_id))


def of_one_tag(number: int) -> list[str]:
    """Names of apps that share a hash tag, and so a group."""
    found: list[str] = []
    while len(found) < number:
        app = new_app()
        if KEYS.tag(app) == KEYS.tags[0]:
            found.append(app)
    return found


# A reply that is lost


@pytest.mark.parametrize("ran", [True, False])
@pytest.mark.parametrize("plan", [PLAIN, INCLUDED], ids=["plain", "included"])
async def test_a_group_whose_reply_is_lost_is_counted_once(
    group_workers: Open, redis: Store, monkeypatch: pytest.MonkeyPatch, plan: Plan, ran: bool
) -> None:
    app = new_app()
    async with group_workers() as [worker]:
        policy = worker.policy(app, plan)
        withheld = Withheld(worker.store, monkeypatch)
        withheld.times_out, withheld.runs = True, ran
        holds = await shared_holds(worker, policy, 10)
        for hold in holds:
            worker.settle(hold, policy, tokens(5))
        await eventually(lambda: bool(withheld.calls))
        withheld.goes_on = True
        await eventually(lambda: log_of(worker).path.stat().st_size == 0)
        assert not any(await withheld.arrive()), "it ran again, or after it was barred"
    assert (await amounts_of(redis, app)).keys() == {hold.request_id for hold in holds}
    assert await tokens_counted(redis, app) == (10, 50)
    assert worker.reports.losses == []


@pytest.mark.ci
@pytest.mark.sampled(2)
@pytest.mark.parametrize("ran", [True, False])
async def test_a_group_that_a_frozen_redis_leaves_without_reply_is_counted_once(
    start: Callable[..., RedisServer], tmp_path: Path, ran: bool
) -> None:
    """A server that does not know the script says so in place of running it."""
    app, server = new_app(), start()
    async with worker_at(server, tmp_path) as (worker, redis):
        policy = worker.policy(app, PLAIN)
        [first, *holds] = await shared_holds(worker, policy, 11)
        worker.settle(first, policy, tokens(5))
        await worker.ledger.drain()
        if not ran:
            server.ask("SCRIPT", "FLUSH")
        server.freeze()
        for hold in holds:
            worker.settle(hold, policy, tokens(5))
        await eventually(lambda: not committer_of(worker).healthy)
        assert len(read(log_of(worker).path.read_bytes())[0]) >= len(holds)
        server.thaw()
        await eventually(lambda: committer_of(worker).healthy and log_of(worker).path.stat().st_size == 0)
        assert (await amounts_of(redis, app)).keys() == {hold.request_id for hold in (first, *holds)}
        assert await tokens_counted(redis, app) == (11, 55)
        assert worker.reports.losses == []
        differences, _ = await verify_in(tmp_path, redis.redis, KEYS, {"plan": PLAIN})
        assert differences == []


def group_of(app: str, number: int) -> list[Settlement]:
    found = [settlement_of(hold_of(app)) for _ in range(number)]
    for settlement in found:
        settlement.hold.local, settlement.hold.shared = False, True
    return in_order(found)


async def test_a_fence_says_that_a_group_ran(redis: Store) -> None:
    app, incarnation = new_app(), str(ULID())
    tag, fences = KEYS.tag(app), Fences(redis, KEYS)
    group = group_of(app, 3)
    call = commit_call(KEYS, tag, incarnation, 1, group)
    assert await redis.run(call) == [1]
    assert await fences.committed(tag, incarnation, 1)
    assert await redis.run(call) == []
    assert await fences.committed(tag, incarnation, 1)
    assert await redis.run(commit_call(KEYS, tag, incarnation, 2, group_of(app, 2))) == [1]
    assert len(await events_of(redis, [app])) == 5


async def test_a_fence_keeps_a_group_from_running_later(redis: Store) -> None:
    app, incarnation = new_app(), str(ULID())
    tag, fences = KEYS.tag(app), Fences(redis, KEYS)
    late = commit_call(KEYS, tag, incarnation, 1, group_of(app, 3))
    for _ in range(2):
        assert not await fences.committed(tag, incarnation, 1)
        assert await redis.run(late) == []
    assert await redis.run(commit_call(KEYS, tag, incarnation, 2, group_of(app, 2))) == [1]
    assert await redis.run(late) == []
    assert len(await events_of(redis, [app])) == 2
    assert await tokens_counted(redis, app) == (2, 0)


async def test_a_fence_is_one_worker_s_and_one_tag_s(redis: Store) -> None:
    app, others = new_app(), [str(ULID()) for _ in range(2)]
    tag, fences = KEYS.tag(app), Fences(redis, KEYS)
    other_tag = next(each for each in KEYS.tags if each != tag)
    assert not await fences.committed(tag, others[0], ALL_GROUPS)
    assert not await fences.committed(other_tag, others[1], ALL_GROUPS)
    assert await redis.run(commit_call(KEYS, tag, others[1], 1, group_of(app, 1))) == [1]


async def test_every_group_of_a_worker_that_is_gone_is_barred(redis: Store) -> None:
    app, incarnation = new_app(), str(ULID())
    tag, fences = KEYS.tag(app), Fences(redis, KEYS)
    ran, late = group_of(app, 1), group_of(app, 1)
    assert await redis.run(commit_call(KEYS, tag, incarnation, 7, ran)) == [1]
    await fences.bar(incarnation, [each.hold for each in (*ran, *late)])
    assert await redis.run(commit_call(KEYS, tag, incarnation, 8, late)) == []
    assert not await fences.committed(tag, incarnation, ALL_GROUPS)
    assert [event.id for event, _, _ in await events_of(redis, [app])] == [ran[0].hold.request_id]


async def test_a_reply_that_comes_after_the_end_touches_no_file_of_anybody_else(
    redis: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The descriptor of the log may be another file's by then."""
    worker = await GroupWorker(redis, tmp_path).__aenter__()
    policy = worker.policy(new_app(), PLAIN)
    [hold] = await shared_holds(worker, policy, 1)
    await worker.ledger.drain()
    withheld = Withheld(redis, monkeypatch)
    worker.settle(hold, policy, tokens(1))
    await eventually(lambda: bool(withheld.replies))
    await worker.stop_upkeep()
    with (tmp_path / "other").open("a+b", buffering=0) as other:
        other.write(b"of somebody else")
        descriptor = log_of(worker).fileno()
        worker.ledger.close()
        os.dup2(other.fileno(), descriptor, inheritable=False)
        withheld.replies[0].set_result([1])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        os.close(descriptor)
        other.seek(0)
        assert other.read() == b"of somebody else"


async def test_a_group_that_gets_no_reply_after_the_end_is_a_sibling_s(
    redis: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    worker = await GroupWorker(redis, tmp_path).__aenter__()
    policy = worker.policy(new_app(), PLAIN)
    [hold] = await shared_holds(worker, policy, 1)
    await worker.ledger.drain()
    withheld = Withheld(redis, monkeypatch)
    worker.settle(hold, policy, tokens(1))
    await eventually(lambda: bool(withheld.replies))
    await worker.stop_upkeep()
    worker.ledger.close()
    assert await adopted(redis, tmp_path) == 1
    withheld.replies[0].set_exception(StoreTimeout("no reply", may_have_run=True))
    await asyncio.sleep(0)
    trying = not committer_of(worker).healthy
    committer_of(worker).close()
    assert not trying, "it goes on to ask what became of the group"


# A Redis that dies


@pytest.mark.ci
async def test_every_admitted_request_has_one_event_though_redis_is_killed(
    start: Callable[..., RedisServer], tmp_path: Path
) -> None:
    server = start(*DURABLE)
    plans = {"plain": PLAIN, "included": INCLUDED}
    used: dict[str, int] = {}
    shared: set[str] = set()
    going = True
    async with worker_at(server, tmp_path) as (worker, redis):
        policies = [
            worker.ledger.policy(app, None, None, name, plan)
            for app, (name, plan) in zip(of_one_tag(2), plans.items(), strict=True)
        ]

        async def client(policy: Policy) -> None:
            for number in itertools.count():
                if not going:
                    return
                decided = await worker.admit(policy, tokens(50))
                assert isinstance(decided, Admitted)
                used[decided.hold.request_id] = number % 50
                if decided.hold.shared:
                    shared.add(decided.hold.request_id)
                await asyncio.sleep(0.002)
                worker.settle(decided.hold, policy, tokens(number % 50))

        async def goes_on(number: int) -> None:
            goal = len(shared) + number
            await eventually(lambda: len(shared) >= goal)

        clients = [asyncio.create_task(client(policy)) for policy in policies for _ in range(3)]
        for frozen in (False, True):
            await goes_on(150)
            if frozen:
                server.freeze()
                await goes_on(60)
            server.kill()
            await asyncio.to_thread(server.start)
        await goes_on(150)
        going = False
        await asyncio.gather(*clients)
        await eventually(lambda: committer_of(worker).healthy and worker.ledger.journal.size == 0)
        await worker.ledger.drain()
        assert log_of(worker).path.stat().st_size == 0
        found = await events_of(redis, [policy.app for policy in policies])
        assert {event.id: event.units[Unit.OUTPUT_TOKENS] for event, _, _ in found} == used
        assert {event.outcome for event, _, _ in found} == {"complete"}
        assert worker.reports.losses == []
        differences, counts = await verify_in(tmp_path, redis.redis, KEYS, plans)
        assert differences == []
        assert counts.totals > 0


@pytest.mark.ci
async def test_groups_that_a_failover_has_lost_are_written_again(
    start: Callable[..., RedisServer], tmp_path: Path
) -> None:
    app, server = new_app(), start()
    async with worker_at(server, tmp_path) as (worker, redis):
        policy = worker.policy(app, INCLUDED)
        holds = await shared_holds(worker, policy, 10)
        for hold in holds[:5]:
            worker.settle(hold, policy, tokens(5))
        await worker.ledger.drain()
        server.kill()
        server.start()
        await eventually(lambda: worker.store.state is BreakerState.CLOSED)
        await worker.ledger.after_failover()
        for hold in holds[5:]:
            worker.settle(hold, policy, tokens(5))
        await worker.ledger.drain()
        await worker.ledger.after_failover()
        await eventually(lambda: worker.ledger.journal.size == 0)
        assert (await amounts_of(redis, app)).keys() == {hold.request_id for hold in holds}
        assert await tokens_counted(redis, app) == (10, 50)
        differences, _ = await verify_in(tmp_path, redis.redis, KEYS, {"plan": INCLUDED})
        assert differences == []


# A worker that dies


async def die(worker: GroupWorker) -> None:
    """End as its process does when it dies: nobody renews or writes anything, and its files are unlocked."""
    await worker.stop_upkeep()
    committer_of(worker).close()
    os.close(log_of(worker).fileno())
    worker.ledger.journal.close()


async def adopted(redis: Store, folder: Path) -> int:
    """How many records a sibling has written."""
    written, aside = await adopt_journals(folder / "journal", Settler(redis, KEYS, never_rejected), RedisClock())
    assert aside == []
    return written


@pytest.mark.parametrize("ran", [True, False])
@pytest.mark.parametrize("on_orphan", ["refund", "attention", "estimate"])
async def test_what_a_dead_worker_leaves_is_written_once(
    redis: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_orphan: str, ran: bool
) -> None:
    """A group that is on its way, ends that wait for it, requests that run, and one that was given back."""
    app, plan = new_app(), PLAIN.model_copy(update={"on_orphan": on_orphan})
    worker = await GroupWorker(redis, tmp_path).__aenter__()
    policy = worker.policy(app, plan)
    holds = await shared_holds(worker, policy, 10, units=tokens(50))
    await worker.ledger.drain()
    sent, waiting, running, [given_back] = holds[:3], holds[3:6], holds[6:9], holds[9:]
    withheld = Withheld(redis, monkeypatch)
    withheld.runs = ran
    for hold in sent:
        worker.settle(hold, policy, tokens(5))
    await eventually(lambda: bool(withheld.calls))
    for hold in waiting:
        worker.settle(hold, policy, tokens(6))
    worker.ledger.release(given_back)
    await asyncio.sleep(0)
    await die(worker)
    log = log_of(worker).path
    left = log.read_bytes()
    assert await adopted(redis, tmp_path) == (6 if ran else 9)
    estimate = on_orphan == "estimate"
    expected = (
        {hold.request_id: ("complete", 5, 15, False) for hold in sent}
        | {hold.request_id: ("complete", 6, 18, False) for hold in waiting}
        | {hold.request_id: ("orphaned", 50 * estimate, 150 * estimate, on_orphan == "attention") for hold in running}
    )

    async def written() -> dict[str, tuple[str, int, int, bool]]:
        return {
            event.id: (event.outcome, event.units.get(Unit.OUTPUT_TOKENS, 0), amount, event.attention)
            for event, amount, _ in await events_of(redis, [app])
        }

    assert await written() == expected
    sums = (9, 33 + 150 * estimate)
    assert await tokens_counted(redis, app) == sums
    assert os.listdir(tmp_path / "journal") == []

    assert await withheld.arrive() == [[]]
    log.write_bytes(left)
    assert await adopted(redis, tmp_path) == 0
    assert await written() == expected
    assert await tokens_counted(redis, app) == sums


async def test_an_end_that_a_full_disk_kept_out_of_the_log_is_not_counted_beside_its_orphan(
    redis: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its group reaches Redis after a sibling has found the hold alone."""
    app, plan = new_app(), PLAIN.model_copy(update={"on_orphan": "estimate"})
    worker = await GroupWorker(redis, tmp_path).__aenter__()
    policy = worker.policy(app, plan)
    [hold] = await shared_holds(worker, policy, 1, units=tokens(50))
    await worker.ledger.drain()
    withheld = Withheld(redis, monkeypatch)
    disk = Disk(log_of(worker), monkeypatch)
    disk.full = True
    worker.settle(hold, policy, tokens(5))
    await eventually(lambda: bool(withheld.calls))
    await die(worker)
    disk.full = False
    assert await adopted(redis, tmp_path) == 1
    assert await withheld.arrive() == [[]]
    [(event, amount, _)] = await events_of(redis, [app])
    assert (event.outcome, amount) == ("orphaned", 150)


async def test_a_dead_worker_s_ends_wait_for_no_archiver_where_nothing_that_young_was_trimmed(
    redis: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = new_app()
    trimmed = KEYS.shared(KEYS.tag(app)).trimmed
    worker = await GroupWorker(redis, tmp_path).__aenter__()
    policy = worker.policy(app, PLAIN)
    holds = await shared_holds(worker, policy, 4)
    await worker.ledger.drain()
    withheld = Withheld(redis, monkeypatch)
    for hold in holds[:2]:
        worker.settle(hold, policy, tokens(5))
    await eventually(lambda: bool(withheld.calls))
    await die(worker)
    await redis.redis.set(trimmed, worker.ledger.clock.now_ms() - 600_000)
    try:
        assert await adopted(redis, tmp_path) == 4
    finally:
        await redis.redis.delete(trimmed)
    assert (await amounts_of(redis, app)).keys() == {hold.request_id for hold in holds}


async def test_two_siblings_write_what_a_dead_worker_leaves_once(
    redis: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = new_app()
    worker = await GroupWorker(redis, tmp_path).__aenter__()
    policy = worker.policy(app, INCLUDED)
    holds = await shared_holds(worker, policy, 20)
    await worker.ledger.drain()
    Withheld(redis, monkeypatch)
    for hold in holds[:10]:
        worker.settle(hold, policy, tokens(5))
    await asyncio.sleep(0)
    await die(worker)
    assert sum(await asyncio.gather(*(adopted(redis, tmp_path) for _ in range(2)))) == 20
    assert (await amounts_of(redis, app)).keys() == {hold.request_id for hold in holds}
    assert await tokens_counted(redis, app) == (20, 50)


# A worker that ends


async def test_a_worker_that_ends_leaves_an_empty_folder(group_workers: Open, redis: Store, tmp_path: Path) -> None:
    apps = [new_app() for _ in range(6)]
    ended: dict[str, int] = {}
    async with group_workers(2) as workers:
        for worker, app in zip(itertools.cycle(workers), apps, strict=False):
            policy = worker.policy(app, PLAIN)
            for hold in await shared_holds(worker, policy, 5):
                worker.settle(hold, policy, tokens(1))
                ended[hold.request_id] = 3
    assert os.listdir(tmp_path / "journal") == []
    assert await amounts_of(redis, *apps) == ended


async def test_a_worker_that_ends_leaves_requests_that_run_to_a_sibling(
    group_workers: Open, redis: Store, tmp_path: Path
) -> None:
    app = new_app()
    async with group_workers() as [worker]:
        policy = worker.policy(app, PLAIN)
        running, ended = await shared_holds(worker, policy, 2)
        worker.settle(ended, policy, tokens(1))
    assert (await amounts_of(redis, app)).keys() == {ended.request_id}
    assert await adopted(redis, tmp_path) == 1
    assert await amounts_of(redis, app) == {ended.request_id: 3, running.request_id: 0}


@pytest.mark.ci
async def test_a_worker_that_ends_while_redis_is_away_leaves_all_ends_to_a_sibling(
    start: Callable[..., RedisServer], tmp_path: Path
) -> None:
    apps, server = [new_app() for _ in range(3)], start(*DURABLE)
    ended = set()
    async with worker_at(server, tmp_path) as (worker, _):
        work = [
            (policy, await shared_holds(worker, policy, 5)) for policy in (worker.policy(app, PLAIN) for app in apps)
        ]
        await worker.ledger.drain()
        server.kill()
        for policy, holds in work:
            for hold in holds:
                worker.settle(hold, policy, tokens(1))
                ended.add(hold.request_id)
    server.start()
    async with await Store.open(server.url, tmp_path, deadline=30) as redis:
        assert await adopted(redis, tmp_path) == 15
        assert (await amounts_of(redis, *apps)).keys() == ended
        differences, _found = await verify_in(tmp_path, redis.redis, KEYS, {"plan": PLAIN})
        assert differences == []
    assert os.listdir(tmp_path / "journal") == []


# A disk that fails


async def test_a_disk_that_cannot_sync_leaves_requests_to_redis(
    group_workers: Open, redis: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = new_app()
    async with group_workers(fsync="always") as [worker]:
        policy = worker.policy(app, PLAIN)
        for each in await make_busy(worker, policy):
            worker.ledger.release(each.hold)
        syncs = Syncs(monkeypatch)
        syncs.fails = True
        holds = [await worker.hold(policy) for _ in range(5)]
        assert syncs.sizes, "nobody has tried"
        assert not any(hold.shared for hold in holds)
        for hold in holds:
            worker.settle(hold, policy, tokens(1))
        await worker.ledger.drain()
    assert await amounts_of(redis, app) == {hold.request_id: 3 for hold in holds}
