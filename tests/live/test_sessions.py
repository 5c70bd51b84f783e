"""Live sessions in the ledger, over a real Redis at times of the test's choosing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from config.workloads import Unit
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.model import Admitted, Denied
from middlewares.ledger.sessions.sessions import PAUSE_MS, Sessions
from tests.ledger.redis_time import Clocked
from tests.ledger.worker_ledger import WorkerLedger
from tests.live.assertions import GAP, PER_SECOND, TICK, Books

STREAM = "app_cam"
PRICE = TICK // 1_000 * PER_SECOND
"""Of one tick."""


@pytest.fixture
def sessions(clocked: Clocked, books: Books) -> Sessions:
    return Sessions(clocked, books.keys, tick=TICK, gap=GAP)


def wait(sessions: Sessions, milliseconds: int) -> None:
    """Let time pass."""
    assert isinstance(sessions._runner, Clocked)
    sessions._runner.now_ms += milliseconds


async def tick(sessions: Sessions, policy: Policy | None, *, after: int = TICK, stream: str = STREAM) -> bool:
    """Report the stream a while later; whether it may go on."""
    wait(sessions, after)
    found = await sessions.find("app", stream)
    return found is not None and await sessions.tick(found, policy)


async def test_sixty_ticks_are_three_hundred_seconds(sessions: Sessions, books: Books) -> None:
    await books.grant(100 * PRICE)
    policy = books.policy("prepaid")
    assert await sessions.begin(STREAM, policy, "noop") is None
    assert all([await tick(sessions, policy) for _ in range(60)])
    assert await books.lived() == 300_000
    wallet = await books.balance()
    assert (wallet.spent, wallet.held) == (60 * PRICE, PRICE)
    await books.check()


async def test_each_tick_is_one_event_and_the_session_one_request(sessions: Sessions, books: Books) -> None:
    policy = books.policy("postpaid")
    await sessions.begin(STREAM, policy, "noop")
    for _ in range(3):
        await tick(sessions, policy)
    recorded = await books.recorded()
    session = recorded[0][0].id.rpartition("-")[0]
    assert [event.id for event, _ in recorded] == [f"{session}-{number}" for number in (1, 2, 3)]
    assert [event.units.get(Unit.REQUESTS, 0) for event, _ in recorded] == [1, 0, 0]
    assert {event.provenance[Unit.MILLISECONDS] for event, _ in recorded} == {"upstream"}
    assert {event.network_units for event, _ in recorded} == {5 * 27_648_000}
    assert sum(amount for _, amount in recorded) == 100 + 2, "15 seconds at 7 a minute: 1.75, rounded up once"
    await books.check()


async def test_a_balance_that_ends_ends_the_stream_with_its_last_paid_tick(sessions: Sessions, books: Books) -> None:
    await books.grant(30 * PRICE)
    policy = books.policy("prepaid")
    assert await sessions.begin(STREAM, policy, "noop") is None
    assert [await tick(sessions, policy) for _ in range(30)] == [True] * 29 + [False]
    assert await books.lived() == 150_000
    wallet = await books.balance()
    assert (wallet.available, wallet.held) == (0, 0)
    assert await books.holds() == 0
    assert not await tick(sessions, policy), "and it stays ended"
    assert await books.lived() == 150_000
    await books.check()


async def test_a_cap_that_is_reached_ends_the_stream(sessions: Sessions, books: Books) -> None:
    policy = books.policy("postpaid")
    await sessions.begin(STREAM, policy, "noop")
    assert [await tick(sessions, policy) for _ in range(6)] == [True] * 5 + [False]
    assert await books.lived() == 30_000
    denied = await sessions.begin(STREAM, policy, "noop")
    assert isinstance(denied, Denied)
    assert denied.code == "plan_limit"
    await books.check()


async def test_an_allowance_is_used_up_before_anything_costs(sessions: Sessions, books: Books) -> None:
    policy = books.policy("included")
    await sessions.begin(STREAM, policy, "noop")
    for _ in range(3):
        await tick(sessions, policy)
    assert [amount for _, amount in await books.recorded()] == [3, 0, 3 * PER_SECOND]
    await books.check()


async def test_a_tick_lost_is_counted_with_the_next(sessions: Sessions, books: Books) -> None:
    policy = books.policy("included")
    await sessions.begin(STREAM, policy, "noop")
    for number in range(1, 13):
        await tick(sessions, policy, after=TICK if number != 7 else 2 * TICK)
    assert await books.lived() == 65_000
    await books.check()


async def test_a_tick_said_twice_counts_once(sessions: Sessions, books: Books) -> None:
    policy = books.policy("included")
    await sessions.begin(STREAM, policy, "noop")
    for _ in range(12):
        assert await tick(sessions, policy)
        assert await tick(sessions, policy, after=3)
    assert await books.lived() == 12 * TICK + 11 * 3
    assert len(await books.recorded()) == 12
    await books.check()


@pytest.mark.parametrize("apart", [1, 1_000, 2_500, 4_000])
async def test_two_gateways_that_report_the_same_stream(sessions: Sessions, books: Books, apart: int) -> None:
    policy = books.policy("included")
    await sessions.begin(STREAM, policy, "noop")
    await tick(sessions, policy)
    for _ in range(12):
        await tick(sessions, policy, after=apart)
        await tick(sessions, policy, after=TICK - apart)
    await tick(sessions, policy)
    assert await books.lived() == 14 * TICK
    await books.check()


async def test_ticks_of_the_same_moment_race_and_one_counts(sessions: Sessions, books: Books, clocked: Clocked) -> None:
    policy = books.policy("prepaid")
    await books.grant(100 * PRICE)
    await sessions.begin(STREAM, policy, "noop")
    clocked.now_ms += TICK
    found = [await sessions.find("app", STREAM) for _ in range(8)]
    assert all(await asyncio.gather(*(sessions.tick(each, policy) for each in found if each)))
    assert await books.lived() == TICK
    assert await books.holds() == 1
    await books.check()


async def test_a_silence_longer_than_the_gap_was_a_pause(sessions: Sessions, books: Books, clocked: Clocked) -> None:
    policy = books.policy("prepaid")
    await books.grant(100 * PRICE)
    await sessions.begin(STREAM, policy, "noop")
    await tick(sessions, policy)
    clocked.now_ms += 2 * GAP
    assert await books.reap() == [], "the end of a stream is no orphan"
    assert await books.holds() == 0
    await books.check()
    assert await tick(sessions, policy)
    assert await tick(sessions, policy)
    assert await books.lived() == 2 * TICK
    assert len({event.id for event, _ in await books.recorded()}) == 2
    await books.check()


async def test_a_stream_never_reported_costs_nothing(sessions: Sessions, books: Books, clocked: Clocked) -> None:
    policy = books.policy("prepaid")
    await books.grant(PRICE)
    assert await sessions.begin(STREAM, policy, "noop") is None
    clocked.now_ms += 2 * GAP
    await books.reap()
    assert (await books.balance()).available == PRICE
    assert await books.recorded() == []
    await books.check()


async def test_a_session_holds_its_slot_and_frees_it(sessions: Sessions, books: Books) -> None:
    policy = books.policy("prepaid")
    await books.grant(100 * PRICE)
    assert await sessions.begin(STREAM, policy, "noop") is None
    for _ in range(10):
        await tick(sessions, policy)
    denied = await sessions.begin("app_other", policy, "noop")
    assert isinstance(denied, Denied)
    assert denied.code == "concurrency_limited"
    await sessions.end("app", STREAM)
    assert await sessions.begin("app_other", policy, "noop") is None
    await books.check()


async def test_ticks_are_no_requests_to_a_rate_limit(sessions: Sessions, books: Books) -> None:
    policy = books.policy("prepaid")
    await books.grant(100 * PRICE)
    await sessions.begin(STREAM, policy, "noop")
    assert all([await tick(sessions, policy, after=2_500) for _ in range(20)])
    assert await sessions.begin("app_b", books.policy("prepaid", key="other"), "noop") is not None


async def test_a_stream_takes_over_the_slot_of_the_request_that_began_it(
    sessions: Sessions, books: Books, tmp_path: Path
) -> None:
    """The gateway asks while the request still runs: with one slot, the two would shut each other out."""
    policy = books.policy("prepaid")
    await books.grant(100 * PRICE)
    async with WorkerLedger(books.clocked, books.keys, tmp_path) as desk:
        decision = await desk.admit(policy)
        assert isinstance(decision, Admitted)
        assert isinstance(await sessions.begin(STREAM, policy, "noop"), Denied)
        assert await sessions.begin(STREAM, policy, "noop", request=decision.hold.request_id) is None
        desk.ledger.release(decision.hold)
    assert isinstance(await sessions.begin("app_b", policy, "noop"), Denied), "the slot is the stream's now"
    assert await books.holds() == 1
    await books.check()


async def test_a_client_that_comes_back_goes_on(sessions: Sessions, books: Books) -> None:
    policy = books.policy("prepaid")
    await books.grant(100 * PRICE)
    await sessions.begin(STREAM, policy, "noop")
    await tick(sessions, policy)
    assert await sessions.begin(STREAM, policy, "noop") is None
    await tick(sessions, policy)
    assert await books.lived() == 2 * TICK
    assert await books.holds() == 1


async def test_another_key_takes_the_stream_over(sessions: Sessions, books: Books) -> None:
    await books.grant(100 * PRICE)
    await sessions.begin(STREAM, books.policy("prepaid"), "noop")
    await tick(sessions, books.policy("prepaid"))
    wait(sessions, 1_000)
    second = books.policy("prepaid", key="second")
    assert await sessions.begin(STREAM, second, "noop") is None
    await tick(sessions, second)
    assert [(event.key, event.units[Unit.MILLISECONDS]) for event, _ in await books.recorded()] == [
        ("key", TICK),
        ("key", 1_000),
        ("second", TICK),
    ]
    assert await books.holds() == 1
    await books.check()


async def test_an_end_by_the_client_charges_what_no_tick_has_told(sessions: Sessions, books: Books) -> None:
    policy = books.policy("prepaid")
    await books.grant(100 * PRICE)
    await sessions.begin(STREAM, policy, "noop")
    await tick(sessions, policy)
    wait(sessions, 2_000)
    await sessions.end("app", STREAM)
    assert await books.lived() == TICK + 2_000
    assert not await tick(sessions, policy), "whoever still reports it is told to end it"
    await sessions.end("app", STREAM)
    assert await books.holds() == 0
    await books.check()


async def test_a_principal_that_may_no_more_pays_to_its_last_tick(sessions: Sessions, books: Books) -> None:
    policy = books.policy("prepaid")
    await books.grant(100 * PRICE)
    await sessions.begin(STREAM, policy, "noop")
    assert await tick(sessions, policy)
    assert not await tick(sessions, None)
    assert await books.lived() == 2 * TICK
    assert await books.holds() == 0
    await books.check()


async def test_a_session_is_forgotten_a_day_after_its_last_tick(sessions: Sessions, books: Books) -> None:
    await sessions.begin(STREAM, books.policy("included"), "noop")
    remaining = await books.store.redis.pttl(books.keys.session("app", "live-video-to-video", STREAM))
    assert 0 < remaining <= PAUSE_MS


async def test_midnight_divides_what_each_day_counts(sessions: Sessions, books: Books) -> None:
    """The test's clock starts at midnight: the tick before it belongs to the day and year before."""
    wait(sessions, -2 * TICK)
    policy = books.policy("postpaid")
    await sessions.begin(STREAM, policy, "noop")
    for _ in range(4):
        assert await tick(sessions, policy)
    assert len(await books.store.redis.keys("*usage:app:*")) == 2
    await books.check()
