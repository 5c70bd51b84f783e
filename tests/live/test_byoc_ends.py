"""The ways in which a BYOC stream ends by itself: what ended is not charged (gateway contract section 10)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from middlewares.live.byoc_streams import GAP_MS, GRACE_MS
from middlewares.live.stream_registry import ActiveStream, start_entry
from proxy.mock_gateway import MockGateway, Options
from proxy.webhooks.gateway_streams import PAUSE_SECONDS
from tests.ledger.redis_time import Clocked
from tests.live.assertions import LedgerView
from tests.live.byoc_worker import PLANS, STREAM, TICK, Worker, start_at

SILENCE = 0.05
UPDATE = f"/process/stream/{STREAM}/update"


async def gone(gateway: MockGateway) -> None:
    """Wait until the gateway has taken the stream down; it keeps its status for another minute."""
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        while (await client.post(UPDATE)).status_code != 404:
            pass


async def restart(gateway: MockGateway) -> None:
    """Begin a new process at the same address, which knows nothing of the streams of the old one."""
    await gateway.stop()
    gateway.reset()
    host, _, port = gateway.url.removeprefix("http://").rpartition(":")
    await gateway.start(host, int(port))


@pytest.fixture
async def gateway() -> AsyncIterator[MockGateway]:
    async with MockGateway(Options(byoc_event_timeout=SILENCE)) as mock_gateway:
        yield mock_gateway


async def sweep(worker: Worker, clocked: Clocked, times: int = 1) -> None:
    for _ in range(times):
        clocked.now_ms += TICK
        await worker.keeper.sweep()


@pytest.mark.parametrize("way", ["whip client gone", "gateway restarted", "404 after a stop"])
async def test_a_stream_that_ended_by_itself_is_charged_to_within_one_tick(
    worker: Worker, ledger_view: LedgerView, clocked: Clocked, gateway: MockGateway, way: str
) -> None:
    await start_at(gateway)
    await worker.start("postpaid")
    await sweep(worker, clocked, 2)
    clocked.now_ms += TICK // 2
    if way == "whip client gone":
        gateway.end_byoc(STREAM)
        await gone(gateway)
    elif way == "gateway restarted":
        await restart(gateway)
    else:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
            await client.post(f"/process/stream/{STREAM}/stop")
    await sweep(worker, clocked, 5)
    assert await worker.lived() == 2 * TICK, "half a tick less than it lived, and nothing of the time after"
    assert (await ledger_view.holds(), await worker.streams.active()) == (0, {})
    await ledger_view.check(PLANS)


async def test_a_stream_whose_worker_is_silent_is_not_charged_after_its_end(
    worker: Worker, ledger_view: LedgerView, clocked: Clocked, gateway: MockGateway
) -> None:
    await start_at(gateway, "mock/silent")
    await worker.start("postpaid")
    await gone(gateway)
    await sweep(worker, clocked, 5)
    assert await worker.lived() == 0
    assert (await ledger_view.holds(), await worker.streams.active()) == (0, {})
    await ledger_view.check(PLANS)


async def test_a_stream_whose_status_is_gone_lives_on_while_its_gateway_has_it(
    worker: Worker, ledger_view: LedgerView, clocked: Clocked, gateway: MockGateway
) -> None:
    await start_at(gateway)
    await worker.start("postpaid")
    gateway.forget_byoc_status(STREAM)
    await sweep(worker, clocked, 3)
    assert await worker.lived() == 3 * TICK
    gateway.end_byoc(STREAM)
    await sweep(worker, clocked, 3)
    assert await worker.lived() == 3 * TICK
    await ledger_view.check(PLANS)


async def test_a_gateway_that_is_back_in_time_proves_the_time_it_was_away(
    worker: Worker, ledger_view: LedgerView, clocked: Clocked, gateway: MockGateway
) -> None:
    await start_at(gateway)
    await worker.start("postpaid")
    await sweep(worker, clocked)
    await gateway.stop()
    await sweep(worker, clocked, 2)
    assert await worker.lived() == TICK, "no proof of life, no charge"
    host, _, port = gateway.url.removeprefix("http://").rpartition(":")
    await gateway.start(host, int(port))
    await sweep(worker, clocked)
    assert await worker.lived() == 4 * TICK
    await ledger_view.check(PLANS)


async def test_a_stream_of_a_gateway_that_stays_away_ends_and_is_stopped_later(
    worker: Worker, ledger_view: LedgerView, clocked: Clocked, gateway: MockGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.webhooks.gateway_streams.PAUSE_SECONDS", 0)
    assert PAUSE_SECONDS * 1000 < TICK, "else a gateway that failed to respond would not be asked in the next tick"
    await start_at(gateway)
    await worker.start("postpaid")
    await sweep(worker, clocked)
    await gateway.stop()
    await sweep(worker, clocked, GAP_MS // TICK + 2)
    assert (await worker.lived(), await ledger_view.holds()) == (TICK, 0)
    assert list(await worker.streams.active()) == [STREAM]
    host, _, port = gateway.url.removeprefix("http://").rpartition(":")
    await gateway.start(host, int(port))
    await sweep(worker, clocked)
    assert await worker.streams.active() == {}
    await gone(gateway)
    await ledger_view.check(PLANS)


async def test_a_start_whose_worker_died_is_stopped_at_every_gateway_it_may_have_reached(
    worker: Worker, clocked: Clocked, gateway: MockGateway
) -> None:
    await start_at(gateway)
    note = ActiveStream("app", "http://gone", clocked.now_ms, "r9", starting=True, fallbacks=(gateway.url,))
    await worker.streams.registry.record(start_entry(STREAM, "r9"), note)
    await worker.keeper.sweep()
    await gone(gateway)
    assert await worker.streams.active() == {}


async def test_a_second_start_of_a_name_does_not_make_the_stream_free(
    worker: Worker, ledger_view: LedgerView, clocked: Clocked, gateway: MockGateway
) -> None:
    await start_at(gateway)
    await worker.start("postpaid")
    note = ActiveStream(worker.app, gateway.url, clocked.now_ms, "r9", starting=True)
    await worker.streams.registry.record(start_entry(STREAM, "r9"), note)
    await sweep(worker, clocked, 2)
    assert list(await worker.streams.active()) == [STREAM]
    assert await worker.lived() == 2 * TICK


async def test_a_stream_without_a_session_is_stopped_once_none_will_come(
    worker: Worker, clocked: Clocked, gateway: MockGateway
) -> None:
    await start_at(gateway)
    await worker.streams.registry.record(STREAM, ActiveStream("app", gateway.url, clocked.now_ms, "r9"))
    await worker.keeper.sweep()
    assert list(await worker.streams.active()) == [STREAM]
    clocked.now_ms += GRACE_MS
    await worker.keeper.sweep()
    assert await worker.streams.active() == {}
    await gone(gateway)
