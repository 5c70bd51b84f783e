"""Hazards of shares of caps and balances: more than there is, a refusal while a share lies unused, money that stays
reserved, a share that outlives what it was taken from."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.credit.lots import LotTerms
from middlewares.ledger.credit.prepaid import Balance, InsufficientBalance, balance, debit, grant
from middlewares.ledger.model import Admitted, Denied, Hold, Settlement
from middlewares.ledger.settlement.journal_replay import adopt_journals
from middlewares.ledger.settlement.reaper import Reaper
from middlewares.ledger.settlement.settler import Settler
from middlewares.ledger.shares import shares
from middlewares.ledger.shares.share import Share, hold_of
from proxy.store.store import Store
from tests.history.beside import verify_in
from tests.ledger.group.conftest import GroupWorker, Open, new_app, plan_of
from tests.ledger.group.test_group_commit import die
from tests.ledger.redis_time import HOLD_MS, Clocked
from tests.ledger.worker_ledger import WORKLOAD, never_rejected
from tests.support.deployment import eventually

WEI = 10**18
HUGE = 10**27
REQUESTS = 1_000
WAVES = 20
PAUSE_SECONDS = 0.05
PRICES = [{"unit": "pixels", "amount": WEI}]
PREPAID = Plan.model_validate({"billing": "credits", "prices": PRICES})


def capped(most: int) -> Plan:
    return plan_of(caps=[{"unit": "pixels", "per": "month", "max": most}])


def spend_capped(most: int) -> Plan:
    limits = {"user": {"caps": [{"unit": "amount", "per": "month", "max": most * WEI}]}}
    return Plan.model_validate({"billing": "usage", "prices": PRICES, "limits": limits})


async def ask(
    worker: GroupWorker, app: str, plan: Plan, reserved: int, used: int, *, user: str | None = None
) -> bool | None:
    """One request that reserves so many pixels and uses so many: True if it was admitted from a share, False if by
    Redis, None if not at all."""
    policy = worker.policy(app, plan, user=user)
    decided = await worker.admit(policy, {Unit.PIXELS: reserved})
    if isinstance(decided, Denied):
        return None
    worker.settle(decided.hold, policy, {Unit.PIXELS: used})
    return decided.hold.shared


async def fire(workers: Sequence[GroupWorker], app: str, plan: Plan, reserved: int, used: int) -> tuple[int, int]:
    """Many requests in waves, so that shares are taken in between: how many were admitted, and from shares."""
    turns, found = itertools.cycle(workers), []
    for _ in range(WAVES):
        wave = itertools.islice(turns, REQUESTS // WAVES)
        found += await asyncio.gather(*(ask(worker, app, plan, reserved, used) for worker in wave))
        await asyncio.sleep(PAUSE_SECONDS)
    for worker in workers:
        await worker.ledger.drain()
    return sum(each is not None for each in found), sum(map(bool, found))


async def busy(worker: GroupWorker, app: str, plan: Plan, *, pixels: int = 1, user: str | None = None) -> list[Hold]:
    """Send requests until one is admitted from a share; return all that run."""
    found: list[Hold] = []

    async def shared() -> bool:
        found.append(await worker.hold(worker.policy(app, plan, user=user), {Unit.PIXELS: pixels}))
        return found[-1].shared

    await eventually(shared)
    return found


def release(worker: GroupWorker, holds: list[Hold]) -> None:
    for hold in holds:
        worker.ledger.release(hold)


async def settled(redis: Store, worker: GroupWorker, app: str) -> Balance:
    """The wallet of an app once nothing is held of it, as all shares are given back."""

    async def nothing_is_held() -> bool:
        return (await balance(redis, worker.keys, app, None)).held == 0

    await eventually(nothing_is_held)
    return await balance(redis, worker.keys, app, None)


async def held_of(redis: Store, worker: GroupWorker, app: str, plan: Plan) -> int:
    """What is held of the last rule of a plan."""
    client: Any = redis.redis
    return int(await client.hget(worker.policy(app, plan).rules[-1].keys[0], "held") or 0)


@pytest.mark.ci
@pytest.mark.parametrize("reserved", [1, 3])
async def test_a_budget_is_spent_to_the_last_request_and_never_beyond(
    group_workers: Open, redis: Store, reserved: int
) -> None:
    app, budget = new_app(), 601 * reserved * WEI + 1
    async with group_workers(4) as workers:
        await grant(redis, workers[0].keys, app, None, budget, reference="budget")
        admitted, shared = await fire(workers, app, PREPAID, reserved, reserved)
        found = await settled(redis, workers[0], app)
        assert admitted == 601
        assert found.spent == admitted * reserved * WEI <= budget
        print(f"{shared} of {admitted} from shares")
        assert shared > 100


@pytest.mark.ci
async def test_what_holds_were_too_large_by_is_there_for_others(group_workers: Open, redis: Store) -> None:
    app = new_app()
    async with group_workers(4) as workers:
        await grant(redis, workers[0].keys, app, None, 1_500 * WEI, reference="budget")
        spent = 0
        while admitted := (await fire(workers, app, PREPAID, 3, 1))[0]:
            spent += admitted
            assert (await settled(redis, workers[0], app)).spent == spent * WEI
        assert spent == 1_498  # two are too few for a hold of three


@pytest.mark.ci
@pytest.mark.parametrize("plan", [capped(601), spend_capped(601)], ids=["units", "money"])
async def test_a_cap_is_used_to_the_last_unit_and_never_beyond(group_workers: Open, redis: Store, plan: Plan) -> None:
    app = new_app()
    async with group_workers(4) as workers:
        admitted, shared = await fire(workers, app, plan, 1, 1)
        assert admitted == 601
        assert shared > 100

        async def nothing_is_held() -> bool:
            return await held_of(redis, workers[0], app, plan) == 0

        await eventually(nothing_is_held)


@pytest.mark.ci
async def test_a_limit_that_leaves_too_little_is_asked_in_redis(group_workers: Open) -> None:
    """The fourth part of what is left must have room for the largest hold."""
    app = new_app()
    async with group_workers() as [worker]:
        for _ in range(40):
            found = await asyncio.gather(*(ask(worker, app, capped(10_000), 2_000, 20) for _ in range(3)))
            assert not any(found)
            await asyncio.sleep(PAUSE_SECONDS / 2)


async def test_what_costs_nothing_is_admitted_from_a_share_too(group_workers: Open) -> None:
    app = new_app()
    async with group_workers() as [worker]:
        release(worker, await busy(worker, app, capped(1_000), pixels=0))


async def test_a_share_is_given_back_when_it_is_idle(group_workers: Open, redis: Store) -> None:
    app = new_app()
    client: Any = redis.redis
    async with group_workers() as [worker]:
        await grant(redis, worker.keys, app, None, HUGE, reference="budget")
        holds = await busy(worker, app, PREPAID)

        async def as_admitted() -> bool:
            return (await balance(redis, worker.keys, app, None)).held == len(holds) * WEI

        await eventually(as_admitted)
        release(worker, holds)

        async def nothing() -> bool:
            bodies: Any = await client.hkeys(worker.keys.shared(worker.keys.tag(app)).bodies)
            return (
                not any(name.startswith(b"share") and app.encode() in name for name in bodies)
                and (await balance(redis, worker.keys, app, None)).held == 0
            )

        await eventually(nothing)


async def test_a_limit_says_how_it_stands(group_workers: Open, redis: Store) -> None:
    app = new_app()
    async with group_workers() as [worker]:
        await grant(redis, worker.keys, app, None, HUGE, reference="budget")
        policy = worker.policy(app, PREPAID)
        found: list[Admitted] = []
        while not found or not found[-1].hold.shared:
            decided = await worker.admit(policy, {Unit.PIXELS: 7})
            assert isinstance(decided, Admitted)
            found.append(decided)
            await asyncio.sleep(PAUSE_SECONDS / 2)
            [state] = decided.limit_states
            assert state.remaining == HUGE - len(found) * 7 * WEI
        release(worker, [each.hold for each in found])


# What makes a share wrong


async def test_a_refund_ends_the_share_of_a_busy_worker(group_workers: Open, redis: Store) -> None:
    app = new_app()
    async with group_workers() as [worker]:
        await grant(redis, worker.keys, app, None, HUGE, reference="budget")
        await busy(worker, app, PREPAID)
        await debit(redis, worker.keys, app, None, HUGE, reference="refund", force=True)

        async def refused() -> bool:
            return await ask(worker, app, PREPAID, 1, 1) is None

        await eventually(refused)


async def test_a_debit_is_not_refused_for_what_a_worker_has_unused(group_workers: Open, redis: Store) -> None:
    app = new_app()
    async with group_workers() as [worker]:
        await grant(redis, worker.keys, app, None, 1_000 * WEI, reference="budget")
        holds = await busy(worker, app, PREPAID, pixels=20)
        left = 1_000 * WEI - len(holds) * 20 * WEI
        await debit(redis, worker.keys, app, None, left, reference="all that is left")
        with pytest.raises(InsufficientBalance):
            await debit(redis, worker.keys, app, None, 1, reference="more")
        release(worker, holds)


async def test_a_user_with_a_new_wallet_pays_from_it(group_workers: Open, redis: Store) -> None:
    app = new_app()
    async with group_workers() as [worker]:
        await grant(redis, worker.keys, app, None, HUGE, reference="of the app")
        first = await busy(worker, app, PREPAID, user="ann")
        await grant(redis, worker.keys, app, "ann", HUGE, reference="of the user")
        for hold in first:
            worker.settle(hold, worker.policy(app, PREPAID, user="ann"), {Unit.PIXELS: 2})

        async def pays() -> bool:
            found = await asyncio.gather(*(ask(worker, app, PREPAID, 1, 1, user="ann") for _ in range(5)))
            return any(found) and (await balance(redis, worker.keys, app, "ann")).spent > 0

        await eventually(pays)
        await worker.ledger.drain()
        assert (await settled(redis, worker, app)).spent >= 2 * len(first) * WEI


async def test_a_wallet_with_lots_has_no_shares(group_workers: Open, redis: Store) -> None:
    """Which lots a hold may spend is decided as it is opened."""
    app = new_app()
    async with group_workers() as [worker]:
        await grant(redis, worker.keys, app, None, HUGE, reference="budget")
        release(worker, await busy(worker, app, PREPAID))
        await grant(redis, worker.keys, app, None, WEI, reference="gift", terms=LotTerms(promotional=True))

        async def unshared() -> bool:
            return [await ask(worker, app, PREPAID, 1, 0) for _ in range(20)] == [False] * 20

        await eventually(unshared)
        await worker.ledger.drain()
        assert (await settled(redis, worker, app)).spent == 0


@pytest.mark.ci
async def test_verification_counts_what_shares_have_reserved(
    group_workers: Open, redis: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "PERIOD_SECONDS", 0.2)
    app, plan = new_app(), capped(10**6)
    async with group_workers() as [worker]:
        await grant(redis, worker.keys, app, None, HUGE, reference="budget")
        holds = [await busy(worker, app, each) for each in (PREPAID, plan)]
        differences, _ = await verify_in(tmp_path, redis.redis, worker.keys, {})
        assert [each for each in differences if app in str(each)] == []
        for each in holds:
            release(worker, each)


# Workers that die, or seem to


@pytest.mark.ci
async def test_of_a_dead_worker_ends_count_and_the_rest_comes_back(
    group_workers: Open, redis: Store, tmp_path: Path
) -> None:
    app = new_app()
    plan = Plan.model_validate({"billing": "credits", "prices": PRICES, "on_orphan": "estimate"})
    async with group_workers() as [other]:
        dead = await GroupWorker(redis, tmp_path, hold_ttl=1).__aenter__()
        await grant(redis, dead.keys, app, None, HUGE, reference="budget")
        holds = await busy(dead, app, plan, pixels=5)
        await die(dead)
        settler = Settler(other.store, other.keys, never_rejected)
        orphans: list[Hold] = []
        await adopt_journals(tmp_path / "journal", settler, other.ledger.clock, orphans.append)
        assert [hold.request_id for hold in orphans] == [hold.request_id for hold in holds if hold.shared]
        reaper = Reaper(other.store, other.keys, settler, lambda _: None, print)

        async def free() -> bool:
            await reaper.sweep()
            return (await balance(redis, dead.keys, app, None)).held == 0

        await eventually(free)
        assert (await balance(redis, dead.keys, app, None)).spent == len(holds) * 5 * WEI


async def test_what_a_failover_lost_is_taken_from_no_share_a_second_time(
    group_workers: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call for the share says already that these were committed."""
    app, plan = new_app(), capped(10**6)
    again: list[Hold] = []

    async def settle_again(settlements: Sequence[Settlement]) -> int:
        again.extend(each.hold for each in settlements)
        return 0

    async with group_workers() as [worker]:
        holds = await busy(worker, app, plan)
        assert holds[-1].share
        for hold in holds:
            worker.settle(hold, worker.policy(app, plan), {Unit.PIXELS: 1})
        await worker.ledger.drain()
        monkeypatch.setattr(worker.ledger.settler, "settle_again", settle_again)
        await worker.ledger.after_failover()
    assert {hold.request_id for hold in again} == {hold.request_id for hold in holds}
    assert not any(hold.share for hold in again)


def share_of(worker_keys: Any, app: str, plan: Plan) -> Share:
    policy = worker_keys.policy(app, plan)
    identity = f"share-{ULID()}"
    now = Hold(identity, app, None, None, policy.plan_id, WORKLOAD, "", 0)
    return Share(identity, policy, hold_of(identity, policy, now))


async def test_a_worker_that_stood_still_admits_nothing_of_a_share_that_was_taken_back(
    group_workers: Open, redis: Store
) -> None:
    app, plan = new_app(), capped(1_000)
    clocked = Clocked(redis, 4_102_444_800_000)
    async with group_workers() as [worker]:
        share, policy = share_of(worker, app, plan), worker.policy(app, plan)
        entries = policy.reserve({Unit.PIXELS: 10}, 0, ())[1]
        hold = Hold(f"{ULID()}", app, None, None, policy.plan_id, WORKLOAD, "", 0, entries=entries)

        async def call(wanted: int) -> int:
            reply = await clocked.run(share.call(clocked.now_ms / 1000, 1_000, HOLD_MS, 0, wanted))
            if reply[0] == 1:
                share.granted(reply)
                share.expires = clocked.now_ms / 1000 + 1
            else:
                share.refused()
            return int(reply[0])

        assert share.take(clocked.now_ms / 1000, hold) is None
        assert await call(8) == 1
        assert share.take(clocked.now_ms / 1000, hold) is not None
        assert await held_of(redis, worker, app, plan) == 80
        clocked.now_ms += HOLD_MS
        await Reaper(clocked, worker.keys, Settler(clocked, worker.keys, never_rejected), print, print).sweep()
        assert await held_of(redis, worker, app, plan) == 0
        assert share.take(clocked.now_ms / 1000, hold) is None
        assert await call(8) == 1
        assert await held_of(redis, worker, app, plan) == 10 + 80  # what still runs is noted again
        share.commit(hold)
        assert await call(0) == 0
        assert await held_of(redis, worker, app, plan) == 0


async def test_parts_are_exact_far_past_what_a_number_of_redis_holds(group_workers: Open, redis: Store) -> None:
    """Against Python's integers."""
    rng = random.Random(5)
    async with group_workers() as [worker]:
        for _ in range(200):
            granted, held = sorted(
                (rng.randrange(1, 10 ** rng.randint(1, 27)), rng.randrange(10 ** rng.randint(1, 27)))
            )[::-1]
            need, wanted = rng.randrange(1, 10 ** rng.randint(1, 26)), rng.randint(2, 30)
            app = new_app()
            share, wallet = share_of(worker, app, PREPAID), worker.keys.wallet(app)
            await redis.redis.hset(wallet, mapping={"granted": granted, "held": held})
            [amount] = share.amounts
            amount.want(need)
            reply = await redis.run(share.call(0.0, 1_000, HOLD_MS, 0, wanted))
            left = granted - held
            part = min(wanted * need, -(-left // 4))
            assert (reply[0] == 1) is (part >= need)
            if reply[0] == 1:
                assert list(map(int, reply[2:4])) == [part, left - part]
            taken = part if reply[0] == 1 else 0
            assert (await balance(redis, worker.keys, app, None)).held == held + taken
