"""A key's own limits: exact under parallel requests and rotation, raised for a time that Redis measures."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.admission.key_limits import Increase, KeyLimits, KeyTerms
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.model import Admitted, Denied, LedgerUnavailable
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.rate_limit.refusal import limit_refusal
from middlewares.response.limits import limit_headers
from proxy.store.store import Store
from tests.history.beside import verify_in
from tests.ledger.fakes import UnreliableStore
from tests.ledger.redis_time import HOLD_MS, NEW_YEAR, Clocked
from tests.ledger.worker_ledger import WorkerLedger
from tests.ledger.workers import workers
from tests.store.servers import RedisServer

WEI = 10**18
DAY_MS = 86_400_000
PRICED = Plan.model_validate({"billing": "usage", "prices": [{"unit": "pixels", "amount": WEI}]})
REQUESTS = 1_000


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with a thousand requests at once is no lost Redis."""
    monkeypatch.setattr("middlewares.ledger.settlement.settler.SETTLE_SECONDS", 60.0)


def policy(
    worker: WorkerLedger, app: str, terms: KeyTerms | None, key: str | None = None, plan: Plan = PRICED
) -> Policy:
    key = key or (terms.family if terms else "key_plain")
    return worker.ledger.policy(app, None, key, "plan", plan, terms=terms)


def new_key() -> str:
    return f"key_{ULID()}"


def at(time_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)


async def refused(worker: WorkerLedger, asked: Policy, pixels: int = 1) -> Denied:
    decision = await worker.admit(asked, {Unit.PIXELS: pixels})
    assert isinstance(decision, Denied), decision
    return decision


async def used(store: Store, asked: Policy) -> dict[str, int]:
    """What the one own rule of a policy has counted and holds."""
    [rule] = [rule for rule in asked.rules if rule.own]
    redis: Any = store.redis
    return {field.decode(): int(number) for field, number in (await redis.hgetall(rule.keys[0])).items()}


async def test_a_cap_is_never_passed_by_1000_parallel_requests_and_a_rotation(
    redis_server: RedisServer, store: Store, tmp_path: Path
) -> None:
    """Hazard: workers that count for themselves, and a successor key with a counter of its own."""
    async with workers(redis_server, tmp_path) as ledgers:
        app, budget = f"app_{ULID()}", 137 * 3 * WEI + 2
        terms = KeyTerms(new_key(), KeyLimits(spend_total=str(budget)))
        settled = itertools.count()

        async def ask(number: int) -> int:
            worker = ledgers[number % len(ledgers)]
            asked = policy(worker, app, terms, None if number < REQUESTS // 2 else "key_second")
            decision = await worker.admit(asked, {Unit.PIXELS: 3})
            if isinstance(decision, Denied):
                assert decision.code == "key_limit"
                return 0
            # every second one uses less than it had reserved, so that others may be admitted later
            pixels = 3 if next(settled) % 2 else 1
            worker.settle(decision.hold, asked, {Unit.PIXELS: pixels})
            return pixels

        async def watch() -> None:
            while not finished.is_set():  # a cancellation can be lost in the client of Redis
                counted = await used(store, policy(ledgers[0], app, terms))
                most.append(counted.get("used:total", 0) + counted.get("held", 0))

        most: list[int] = []
        finished = asyncio.Event()
        watching = asyncio.create_task(watch())
        spent = sum(await asyncio.gather(*map(ask, range(REQUESTS)))) * WEI
        finished.set()
        await watching
        assert max(most) <= budget
        for worker in ledgers:
            await worker.ledger.drain()
        asked = policy(ledgers[0], app, terms, "key_second")
        assert await used(store, asked) == {"used:total": spent, "held": 0}
        assert spent <= budget
        while isinstance(decision := await ledgers[1].admit(asked, {Unit.PIXELS: 1}), Admitted):
            ledgers[1].settle(decision.hold, asked, {Unit.PIXELS: 1})
            await ledgers[1].ledger.drain()
            spent += WEI
        assert spent == budget - 2, "nothing that the cap allows was refused for good"


async def test_an_increase_ends_by_redis_time(worker_ledger: WorkerLedger, clocked: Clocked) -> None:
    """Hazard: an increase that lasts until a worker is restarted, or until its own clock says so."""
    ends = NEW_YEAR + 3_600_000
    raised = Increase(KeyLimits(spend_per_day=str(5 * WEI)), at(ends))
    terms = KeyTerms(new_key(), KeyLimits(spend_per_day=str(2 * WEI)), raised)
    asked = policy(worker_ledger, f"app_{ULID()}", terms)
    for _ in range(4):
        await worker_ledger.request(asked, {Unit.PIXELS: 1}, {Unit.PIXELS: 1})
    clocked.now_ms = ends - 1
    last = (await refused(worker_ledger, asked, 2)).limit_state
    assert (last.limit_spec.limit, last.remaining) == (5 * WEI, WEI)
    await worker_ledger.request(asked, {Unit.PIXELS: 1}, {Unit.PIXELS: 1})
    clocked.now_ms = ends
    last = (await refused(worker_ledger, asked)).limit_state
    assert (last.policy, last.limit_spec.limit, last.remaining) == ("key-own-spend-per-day", 2 * WEI, 0)
    assert last.reset_seconds == DAY_MS // 1000 - 3_600
    clocked.now_ms = NEW_YEAR + DAY_MS
    for _ in range(2):
        await worker_ledger.request(asked, {Unit.PIXELS: 1}, {Unit.PIXELS: 1})
    await refused(worker_ledger, asked)


async def test_an_increased_rate_is_advertised_and_ends(worker_ledger: WorkerLedger, clocked: Clocked) -> None:
    ends = NEW_YEAR + HOLD_MS - 1
    terms = KeyTerms(
        new_key(),
        KeyLimits(requests_per_minute=1, concurrent=1),
        Increase(KeyLimits(requests_per_minute=3, concurrent=2), at(ends)),
    )
    asked = policy(worker_ledger, f"app_{ULID()}", terms)
    decision = await worker_ledger.admit(asked)
    assert isinstance(decision, Admitted)
    [(_, policies), (_, states)] = limit_headers(decision.limit_states)
    assert policies == b'"key-own-requests-per-minute";q=3;w=60, "key-own-concurrent";q=2;qu="concurrent-requests"'
    assert states.startswith(b'"key-own-requests-per-minute";r=2;t=')
    await worker_ledger.hold(asked)
    denied = await refused(worker_ledger, asked)
    assert (denied.code, denied.limit_state.policy) == ("concurrency_limited", "key-own-concurrent")
    clocked.now_ms = ends
    denied = await refused(worker_ledger, asked)
    assert (denied.code, denied.limit_state.limit_spec.limit) == ("rate_limited", 1)
    denied = await refused(worker_ledger, asked.without("w"))
    assert (denied.code, denied.limit_state.limit_spec.limit) == ("concurrency_limited", 1)


@pytest.mark.parametrize(
    ("limits", "after", "resets"),
    [
        ({"spend_per_day": str(WEI)}, DAY_MS, True),
        ({"spend_per_month": str(WEI)}, DAY_MS, False),
        ({"spend_per_month": str(WEI)}, 31 * DAY_MS, True),
        ({"spend_total": str(WEI)}, 400 * DAY_MS, False),
    ],
)
async def test_a_period_ends_by_the_calendar_and_a_total_never(
    worker_ledger: WorkerLedger, clocked: Clocked, limits: dict[str, str], after: int, resets: bool
) -> None:
    asked = policy(worker_ledger, f"app_{ULID()}", KeyTerms(new_key(), KeyLimits(**limits)))  # type: ignore[arg-type]
    await worker_ledger.request(asked, {Unit.PIXELS: 1}, {Unit.PIXELS: 1})
    denied = await refused(worker_ledger, asked)
    refusal = limit_refusal(denied)
    [name] = limits
    assert (refusal.status, refusal.code) == (402, "key_limit")
    assert refusal.members["policy"] == f"key-own-{name.replace('_', '-')}"
    assert (refusal.members["limit"], refusal.members["remaining"]) == (str(WEI), "0")
    ends = f"The period ends in {refusal.members['reset']} seconds"
    assert (ends in refusal.detail) == (name != "spend_total")
    clocked.now_ms = NEW_YEAR + after
    decision = await worker_ledger.admit(asked, {Unit.PIXELS: 1})
    assert isinstance(decision, Admitted) == resets


async def test_a_failed_request_costs_a_cap_nothing(worker_ledger: WorkerLedger, store: Store) -> None:
    asked = policy(worker_ledger, f"app_{ULID()}", KeyTerms(new_key(), KeyLimits(spend_per_day=str(WEI))))
    worker_ledger.ledger.release(await worker_ledger.hold(asked, {Unit.PIXELS: 1}))
    await worker_ledger.ledger.drain()
    assert await used(store, asked) == {"held": 0}


async def test_a_cap_is_asked_before_a_large_body_is_read(worker_ledger: WorkerLedger) -> None:
    asked = policy(worker_ledger, f"app_{ULID()}", KeyTerms(new_key(), KeyLimits(spend_total=str(WEI))))
    await worker_ledger.request(asked, {Unit.PIXELS: 1}, {Unit.PIXELS: 1})
    for each in (asked.before_body, asked.after_body, asked.beside_work):
        assert (await refused(worker_ledger, each)).code == "key_limit"


async def test_a_key_with_a_cap_is_not_admitted_on_a_guess(store: Store, keys: RedisKeys, tmp_path: Path) -> None:
    """Hazard: a plan that guesses while Redis is away would spend past the hard cap of a key."""
    unreliable = UnreliableStore(store)
    plan = Plan.model_validate({**PRICED.model_dump(exclude_unset=True), "on_store_loss": "local"})
    async with WorkerLedger(unreliable, keys, tmp_path) as worker:
        unreliable.away = True
        app = f"app_{ULID()}"
        assert isinstance(await worker.admit(policy(worker, app, None, plan=plan)), Admitted)
        limited = KeyTerms("key_b", KeyLimits(requests_per_minute=9))
        assert isinstance(await worker.admit(policy(worker, app, limited, "key_b", plan)), Admitted)
        capped = KeyTerms("key_c", KeyLimits(spend_total="1"))
        with pytest.raises(LedgerUnavailable):
            await worker.admit(policy(worker, app, capped, "key_c", plan))
        unreliable.away = False


async def test_keys_of_one_family_share_the_limits_that_the_plan_has_for_a_key(
    worker_ledger: WorkerLedger, store: Store, tmp_path: Path
) -> None:
    """Hazard: a rotation that starts the plan's caps afresh, and a verification that calls the shared one wrong."""
    plan = Plan.model_validate({"limits": {"key": {"caps": [{"unit": "requests", "per": "month", "max": 2}]}}})
    app, first, second = f"app_{ULID()}", new_key(), new_key()
    for key, terms in ((first, None), (second, KeyTerms(first))):
        await worker_ledger.request(policy(worker_ledger, app, terms, key, plan), {})
    asked = policy(worker_ledger, app, KeyTerms(first), second, plan)
    assert (await refused(worker_ledger, asked)).limit_state.policy == "key-requests-per-month"
    await store.redis.hset("tollgate:key-families", second, first)
    differences, counts = await verify_in(tmp_path, store.redis, worker_ledger.keys, {"plan": plan})
    assert [each for each in differences if app in each.where or first in each.where] == []
    assert counts.totals > 0


async def test_a_policy_is_compiled_again_once_a_key_is_changed(worker_ledger: WorkerLedger) -> None:
    """Hazard: a worker that goes on with the limits that it compiled for the key before."""
    app, key = f"app_{ULID()}", new_key()
    first = policy(worker_ledger, app, KeyTerms(key, KeyLimits(concurrent=1)))
    assert policy(worker_ledger, app, KeyTerms(key, KeyLimits(concurrent=1))) is first
    await worker_ledger.hold(first)
    await refused(worker_ledger, first)
    await worker_ledger.hold(policy(worker_ledger, app, KeyTerms(key, KeyLimits(concurrent=2))))
    await worker_ledger.hold(policy(worker_ledger, app, None, key))
