"""BYOC streams over time: Tollgate keeps the time itself, and stops what may not go on at its gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Message

from config.workloads import Unit, Workload
from middlewares.exchange import Exchange
from middlewares.ledger.model import Admitted
from middlewares.live.byoc_streams import GAP_MS
from middlewares.routes import BY_NAME
from proxy.control.api_keys import ApiKeys
from proxy.mock_gateway import MockGateway
from tests.ledger.redis_time import Clocked
from tests.live.assertions import LedgerView
from tests.live.byoc_worker import PLANS, STREAM, TICK, Worker, start_at


@pytest.fixture
async def gateway() -> AsyncIterator[MockGateway]:
    """A mock gateway on which `STREAM` runs."""
    async with MockGateway() as mock_gateway:
        await start_at(mock_gateway)
        yield mock_gateway


async def runs(gateway: MockGateway) -> bool:
    """Whether the gateway has the stream."""
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        return (await client.get(f"/process/stream/{STREAM}/status")).status_code == 200


async def test_ticks_and_the_rest_add_up_to_the_time_it_lived(
    worker: Worker, ledger_view: LedgerView, clocked: Clocked, gateway: MockGateway
) -> None:
    sent = await worker.start("postpaid")
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    for _ in range(3):
        clocked.now_ms += TICK
        await worker.keeper.sweep()
    clocked.now_ms += 12_345
    await worker.streams.end(worker.app, STREAM)
    await worker.streams.end(worker.app, STREAM)
    events = [event for event, _ in await ledger_view.recorded(worker.app)]
    assert [event.id for event in events] == ["r1", "r1-1", "r1-2", "r1-3", "r1-4"]
    assert [event.units.get(Unit.REQUESTS, 0) for event in events] == [0, 1, 0, 0, 0]
    assert [event.network_units for event in events] == [None, 30, 30, 30, 13], "seconds that were begun"
    assert await worker.lived() == 3 * TICK + 12_345
    assert sum(amount for _, amount in await ledger_view.recorded(worker.app)) == -(-(3 * TICK + 12_345) * 7 // 1000)
    assert (await ledger_view.holds(), await worker.streams.active()) == (0, {})
    await ledger_view.check(PLANS)


async def test_a_stream_goes_on_until_its_credit_is_used_up(
    worker: Worker, ledger_view: LedgerView, clocked: Clocked, gateway: MockGateway
) -> None:
    await worker.start("prepaid", credit=7 * 100)  # seconds: three ticks and some
    for _ in range(6):
        clocked.now_ms += TICK
        await worker.keeper.sweep()
    assert await worker.lived() == 3 * TICK
    assert not await runs(gateway)
    assert (await ledger_view.balance(worker.app)).available == 7 * 10
    assert await worker.streams.active() == {}
    await ledger_view.check(PLANS)


async def test_a_stream_that_is_never_stopped_is_stopped_by_its_plan(
    worker: Worker, ledger_view: LedgerView, clocked: Clocked, gateway: MockGateway
) -> None:
    await worker.start("short")
    for _ in range(5):
        clocked.now_ms += TICK
        await worker.keeper.sweep()
    assert await worker.lived() == 3 * TICK
    assert not await runs(gateway)


async def test_a_stream_whose_plan_is_gone_is_stopped(
    worker: Worker, ledger_view: LedgerView, clocked: Clocked, gateway: MockGateway
) -> None:
    await worker.start("postpaid")
    clocked.now_ms += 1_000
    await worker.keeper_under({}).sweep()
    assert await worker.lived() == 1_000
    assert not await runs(gateway)


async def test_a_stream_whose_key_is_revoked_is_stopped(
    worker: Worker, ledger_view: LedgerView, clocked: Clocked, gateway: MockGateway
) -> None:
    await worker.start("postpaid")
    await ApiKeys(ledger_view.store.redis, None).revoke(worker.key)
    clocked.now_ms += 1_000
    await worker.keeper.sweep()
    assert await worker.lived() == 1_000
    assert not await runs(gateway)


async def test_two_workers_tick_it_as_one(
    worker: Worker, ledger_view: LedgerView, clocked: Clocked, gateway: MockGateway, tmp_path: Path
) -> None:
    other = Worker(ledger_view, tmp_path / "two", gateway.url)
    await worker.start("postpaid")
    for _ in range(4):
        clocked.now_ms += TICK // 2
        await worker.keeper.sweep()
        clocked.now_ms += TICK // 2
        await other.keeper.sweep()
    await other.streams.end(worker.app, STREAM)
    assert await worker.lived() == 4 * TICK
    await other.close()
    await ledger_view.check(PLANS)


async def test_time_without_any_worker_is_not_charged(
    worker: Worker, ledger_view: LedgerView, clocked: Clocked, gateway: MockGateway
) -> None:
    await worker.start("postpaid")
    clocked.now_ms += TICK
    await worker.keeper.sweep()
    clocked.now_ms += 2 * GAP_MS
    await ledger_view.reap()
    await worker.keeper.sweep()
    clocked.now_ms += TICK
    await worker.keeper.sweep()
    assert await worker.lived() == 2 * TICK
    await ledger_view.check(PLANS)


@pytest.mark.parametrize("response", [b"", b"ok", b'{"stream_id": 7}', b"[" * 100_000, b" " * 2_000_000])
async def test_a_response_that_names_no_stream_passes_as_it_is(
    worker: Worker, ledger_view: LedgerView, gateway: MockGateway, response: bytes
) -> None:
    policy = worker.ledger.policy("app", None, "key", "postpaid", PLANS["postpaid"])
    admitted = await worker.ledger.admit("r1", policy, workload=Workload.BYOC, model="cap", units={})
    assert isinstance(admitted, Admitted)
    exchange = Exchange("r1", 0.0, "POST", "/", route=BY_NAME["byoc-stream-start"])
    exchange.hold, exchange.policy = admitted.hold, policy
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    tracked = worker.streams.track_start(exchange, send)
    await tracked({"type": "http.response.start", "status": 200, "headers": []})
    for at in range(0, len(response), 65_536):
        await tracked({"type": "http.response.body", "body": response[at : at + 65_536], "more_body": True})
    await tracked({"type": "http.response.body", "body": b"", "more_body": False})
    assert b"".join(message.get("body", b"") for message in sent) == response
    assert [message["type"] for message in sent].count("http.response.start") == 1
    assert exchange.hold is not None
    assert await worker.streams.active() == {}
