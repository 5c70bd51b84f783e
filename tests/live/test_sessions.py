"""Live sessions in the ledger, over a real Redis at times of the test's choosing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from config.workloads import Unit
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.model import Admitted, Denied
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.sessions.sessions import PAUSE_MS, Sessions
from tests.ledger.redis_time import Clocked
from tests.ledger.worker_ledger import WorkerLedger
from tests.live.assertions import GAP, PER_SECOND, TICK, LedgerView

STREAM = "app_cam"
PRICE = TICK // 1_000 * PER_SECOND
"""Of one tick."""


class TimedSessions(Sessions):
    """Sessions at a Redis time of the test's choosing."""

    def __init__(self, clocked: Clocked, keys: RedisKeys) -> None:
        super().__init__(clocked, keys, tick=TICK, gap=GAP)
        self.clocked = clocked


@pytest.fixture
def sessions(clocked: Clocked, ledger_view: LedgerView) -> TimedSessions:
    return TimedSessions(clocked, ledger_view.keys)


def wait(sessions: TimedSessions, milliseconds: int) -> None:
    """Let time pass."""
    sessions.clocked.now_ms += milliseconds


async def tick(sessions: TimedSessions, policy: Policy | None, *, after: int = TICK, stream: str = STREAM) -> bool:
    """Report the stream a while later; whether it may go on."""
    wait(sessions, after)
    found = await sessions.find("app", stream)
    return found is not None and await sessions.tick(found, policy)


async def test_sixty_ticks_are_three_hundred_seconds(sessions: TimedSessions, ledger_view: LedgerView) -> None:
    await ledger_view.grant(100 * PRICE)
    policy = ledger_view.policy("prepaid")
    assert await sessions.begin(STREAM, policy, "noop") is None
    assert all([await tick(sessions, policy) for _ in range(60)])
    assert await ledger_view.lived() == 300_000
    wallet = await ledger_view.balance()
    assert (wallet.spent, wallet.held) == (60 * PRICE, PRICE)
    await ledger_view.check()


async def test_another_app_of_the_same_tag_has_no_such_stream(sessions: TimedSessions, ledger_view: LedgerView) -> None:
    """Hazard: apps share hash tags, and so names of streams; one is found, and ended, in the name of another app."""
    keys = ledger_view.keys
    other = next(f"other{number}" for number in range(1_000) if keys.tag(f"other{number}") == keys.tag("app"))
    await sessions.begin(STREAM, ledger_view.policy("postpaid"), "noop")
    wait(sessions, TICK)
    assert await sessions.find(other, STREAM) is None
    await sessions.end(other, STREAM)
    assert await sessions.end_at_last_tick(other, STREAM)
    assert await sessions.find("app", STREAM) is not None


async def test_each_tick_is_one_event_and_the_session_one_request(
    sessions: TimedSessions, ledger_view: LedgerView
) -> None:
    policy = ledger_view.policy("postpaid")
    await sessions.begin(STREAM, policy, "noop")
    for _ in range(3):
        await tick(sessions, policy)
    recorded = await ledger_view.recorded()
    session = recorded[0][0].id.rpartition("-")[0]
    assert [event.id for event, _ in recorded] == [f"{session}-{number}" for number in (1, 2, 3)]
    assert [event.units.get(Unit.REQUESTS, 0) for event, _ in recorded] == [1, 0, 0]
    assert {event.provenance[Unit.MILLISECONDS] for event, _ in recorded} == {"upstream"}
    assert {event.network_units for event, _ in recorded} == {5 * 27_648_000}
    assert sum(amount for _, amount in recorded) == 100 + 2, "15 seconds at 7 a minute: 1.75, rounded up once"
    await ledger_view.check()


async def test_a_balance_that_ends_ends_the_stream_with_its_last_paid_tick(
    sessions: TimedSessions, ledger_view: LedgerView
) -> None:
    await ledger_view.grant(30 * PRICE)
    policy = ledger_view.policy("prepaid")
    assert await sessions.begin(STREAM, policy, "noop") is None
    assert [await tick(sessions, policy) for _ in range(30)] == [True] * 29 + [False]
    assert await ledger_view.lived() == 150_000
    wallet = await ledger_view.balance()
    assert (wallet.available, wallet.held) == (0, 0)
    assert await ledger_view.holds() == 0
    assert not await tick(sessions, policy), "and it stays ended"
    assert await ledger_view.lived() == 150_000
    await ledger_view.check()


async def test_a_cap_that_is_reached_ends_the_stream(sessions: TimedSessions, ledger_view: LedgerView) -> None:
    policy = ledger_view.policy("postpaid")
    await sessions.begin(STREAM, policy, "noop")
    assert [await tick(sessions, policy) for _ in range(6)] == [True] * 5 + [False]
    assert await ledger_view.lived() == 30_000
    denied = await sessions.begin(STREAM, policy, "noop")
    assert isinstance(denied, Denied)
    assert denied.code == "plan_limit"
    await ledger_view.check()


async def test_an_allowance_is_used_up_before_anything_costs(sessions: TimedSessions, ledger_view: LedgerView) -> None:
    policy = ledger_view.policy("included")
    await sessions.begin(STREAM, policy, "noop")
    for _ in range(3):
        await tick(sessions, policy)
    assert [amount for _, amount in await ledger_view.recorded()] == [3, 0, 3 * PER_SECOND]
    await ledger_view.check()


async def test_a_tick_lost_is_counted_with_the_next(sessions: TimedSessions, ledger_view: LedgerView) -> None:
    policy = ledger_view.policy("included")
    await sessions.begin(STREAM, policy, "noop")
    for number in range(1, 13):
        await tick(sessions, policy, after=TICK if number != 7 else 2 * TICK)
    assert await ledger_view.lived() == 65_000
    await ledger_view.check()


async def test_a_tick_said_twice_counts_once(sessions: TimedSessions, ledger_view: LedgerView) -> None:
    policy = ledger_view.policy("included")
    await sessions.begin(STREAM, policy, "noop")
    for _ in range(12):
        assert await tick(sessions, policy)
        assert await tick(sessions, policy, after=3)
    assert await ledger_view.lived() == 12 * TICK + 11 * 3
    assert len(await ledger_view.recorded()) == 12
    await ledger_view.check()


@pytest.mark.parametrize("apart", [1, 1_000, 2_500, 4_000])
async def test_two_gateways_that_report_the_same_stream(
    sessions: TimedSessions, ledger_view: LedgerView, apart: int
) -> None:
    policy = ledger_view.policy("included")
    await sessions.begin(STREAM, policy, "noop")
    await tick(sessions, policy)
    for _ in range(12):
        await tick(sessions, policy, after=apart)
        await tick(sessions, policy, after=TICK - apart)
    await tick(sessions, policy)
    assert await ledger_view.lived() == 14 * TICK
    await ledger_view.check()


async def test_ticks_of_the_same_moment_race_and_one_counts(
    sessions: TimedSessions, ledger_view: LedgerView, clocked: Clocked
) -> None:
    policy = ledger_view.policy("prepaid")
    await ledger_view.grant(100 * PRICE)
    await sessions.begin(STREAM, policy, "noop")
    clocked.now_ms += TICK
    found = [await sessions.find("app", STREAM) for _ in range(8)]
    assert all(await asyncio.gather(*(sessions.tick(each, policy) for each in found if each)))
    assert await ledger_view.lived() == TICK
    assert await ledger_view.holds() == 1
    await ledger_view.check()


async def test_a_silence_longer_than_the_gap_was_a_pause(
    sessions: TimedSessions, ledger_view: LedgerView, clocked: Clocked
) -> None:
    policy = ledger_view.policy("prepaid")
    await ledger_view.grant(100 * PRICE)
    await sessions.begin(STREAM, policy, "noop")
    await tick(sessions, policy)
    clocked.now_ms += 2 * GAP
    assert await ledger_view.reap() == [], "the end of a stream is no orphan"
    assert await ledger_view.holds() == 0
    await ledger_view.check()
    assert await tick(sessions, policy)
    assert await tick(sessions, policy)
    assert await ledger_view.lived() == 2 * TICK
    assert len({event.id for event, _ in await ledger_view.recorded()}) == 2
    await ledger_view.check()


async def test_a_stream_never_reported_costs_nothing(
    sessions: TimedSessions, ledger_view: LedgerView, clocked: Clocked
) -> None:
    policy = ledger_view.policy("prepaid")
    await ledger_view.grant(PRICE)
    assert await sessions.begin(STREAM, policy, "noop") is None
    clocked.now_ms += 2 * GAP
    await ledger_view.reap()
    assert (await ledger_view.balance()).available == PRICE
    assert await ledger_view.recorded() == []
    await ledger_view.check()


async def test_a_session_holds_its_slot_and_frees_it(sessions: TimedSessions, ledger_view: LedgerView) -> None:
    policy = ledger_view.policy("prepaid")
    await ledger_view.grant(100 * PRICE)
    assert await sessions.begin(STREAM, policy, "noop") is None
    for _ in range(10):
        await tick(sessions, policy)
    denied = await sessions.begin("app_other", policy, "noop")
    assert isinstance(denied, Denied)
    assert denied.code == "concurrency_limited"
    await sessions.end("app", STREAM)
    assert await sessions.begin("app_other", policy, "noop") is None
    await ledger_view.check()


async def test_ticks_are_no_requests_to_a_rate_limit(sessions: TimedSessions, ledger_view: LedgerView) -> None:
    policy = ledger_view.policy("prepaid")
    await ledger_view.grant(100 * PRICE)
    await sessions.begin(STREAM, policy, "noop")
    assert all([await tick(sessions, policy, after=2_500) for _ in range(20)])
    assert await sessions.begin("app_b", ledger_view.policy("prepaid", key="other"), "noop") is not None


async def test_a_stream_takes_over_the_slot_of_the_request_that_began_it(
    sessions: TimedSessions, ledger_view: LedgerView, tmp_path: Path
) -> None:
    """The gateway asks while the request still runs: with one slot, the two would shut each other out."""
    policy = ledger_view.policy("prepaid")
    await ledger_view.grant(100 * PRICE)
    async with WorkerLedger(ledger_view.clocked, ledger_view.keys, tmp_path) as worker:
        decision = await worker.admit(policy)
        assert isinstance(decision, Admitted)
        assert isinstance(await sessions.begin(STREAM, policy, "noop"), Denied)
        assert await sessions.begin(STREAM, policy, "noop", request=decision.hold.request_id) is None
        worker.ledger.release(decision.hold)
    assert isinstance(await sessions.begin("app_b", policy, "noop"), Denied), "the slot is the stream's now"
    assert await ledger_view.holds() == 1
    await ledger_view.check()


async def test_a_client_that_comes_back_goes_on(sessions: TimedSessions, ledger_view: LedgerView) -> None:
    policy = ledger_view.policy("prepaid")
    await ledger_view.grant(100 * PRICE)
    await sessions.begin(STREAM, policy, "noop")
    await tick(sessions, policy)
    assert await sessions.begin(STREAM, policy, "noop") is None
    await tick(sessions, policy)
    assert await ledger_view.lived() == 2 * TICK
    assert await ledger_view.holds() == 1


async def test_another_key_takes_the_stream_over(sessions: TimedSessions, ledger_view: LedgerView) -> None:
    await ledger_view.grant(100 * PRICE)
    await sessions.begin(STREAM, ledger_view.policy("prepaid"), "noop")
    await tick(sessions, ledger_view.policy("prepaid"))
    wait(sessions, 1_000)
    second = ledger_view.policy("prepaid", key="second")
    assert await sessions.begin(STREAM, second, "noop") is None
    await tick(sessions, second)
    assert [(event.key, event.units[Unit.MILLISECONDS]) for event, _ in await ledger_view.recorded()] == [
        ("key", TICK),
        ("key", 1_000),
        ("second", TICK),
    ]
    assert await ledger_view.holds() == 1
    await ledger_view.check()


async def test_an_end_by_the_client_charges_what_no_tick_has_charged(
    sessions: TimedSessions, ledger_view: LedgerView
) -> None:
    policy = ledger_view.policy("prepaid")
    await ledger_view.grant(100 * PRICE)
    await sessions.begin(STREAM, policy, "noop")
    await tick(sessions, policy)
    wait(sessions, 2_000)
    await sessions.end("app", STREAM)
    assert await ledger_view.lived() == TICK + 2_000
    assert not await tick(sessions, policy), "whoever still reports it is made to end it"
    await sessions.end("app", STREAM)
    assert await ledger_view.holds() == 0
    await ledger_view.check()


async def test_a_principal_that_may_no_more_pays_to_its_last_tick(
    sessions: TimedSessions, ledger_view: LedgerView
) -> None:
    policy = ledger_view.policy("prepaid")
    await ledger_view.grant(100 * PRICE)
    await sessions.begin(STREAM, policy, "noop")
    assert await tick(sessions, policy)
    assert not await tick(sessions, None)
    assert await ledger_view.lived() == 2 * TICK
    assert await ledger_view.holds() == 0
    await ledger_view.check()


async def test_a_session_is_forgotten_a_day_after_its_last_tick(
    sessions: TimedSessions, ledger_view: LedgerView
) -> None:
    await sessions.begin(STREAM, ledger_view.policy("included"), "noop")
    remaining = await ledger_view.store.redis.pttl(ledger_view.keys.session("app", "live-video-to-video", STREAM))
    assert 0 < remaining <= PAUSE_MS


async def test_midnight_divides_what_each_day_counts(sessions: TimedSessions, ledger_view: LedgerView) -> None:
    """The test's clock starts at midnight: the tick before it belongs to the day and year before."""
    wait(sessions, -2 * TICK)
    policy = ledger_view.policy("postpaid")
    await sessions.begin(STREAM, policy, "noop")
    for _ in range(4):
        assert await tick(sessions, policy)
    assert len(await ledger_view.store.redis.keys("*usage:app:*")) == 2
    await ledger_view.check()
