"""BYOC streams over time: Tollgate keeps the time itself, and stops what may not go on at its gateway."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Message

from config.access import Auth
from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.exchange import Exchange, Principal
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Admitted
from middlewares.live.byoc_streams import GAP_MS, ByocStreams
from middlewares.routes import BY_NAME
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.identity.authentication import Authentication
from proxy.identity.principal_resolver import PrincipalResolver
from proxy.mock_gateway import MockGateway
from proxy.upstream import ConnectionPool
from proxy.webhooks.stream_keeper import StreamKeeper
from tests.ledger.redis_time import Clocked, ClockOf
from tests.ledger.worker_ledger import Reports
from tests.live.assertions import LedgerView

TICK = 30_000
STREAM = "app_cam"
PRICES = [{"workload": "byoc", "unit": "seconds", "amount": 7}]
PLANS = {
    "postpaid": Plan.model_validate({"billing": "usage", "prices": PRICES}),
    "prepaid": Plan.model_validate({"billing": "credits", "prices": PRICES, "limits": {"app": {"concurrent": 1}}}),
    "short": Plan.model_validate({"billing": "usage", "prices": PRICES, "byoc_stream_seconds": 60}),
}


class Worker:
    """The part of one worker that handles streams, in front of a mock gateway."""

    def __init__(self, ledger_view: LedgerView, folder: Path, gateway: str) -> None:
        self.ledger = Ledger(
            ledger_view.clocked,
            ledger_view.keys,
            data_dir=folder,
            hold_ttl=60,
            deadline=10,
            workers=1,
            journal_bytes=1 << 20,
            replay_window=5,
            observer=Reports(),
            clock=ClockOf(ledger_view.clocked),
        )
        self.gateway = gateway
        host, _, port = gateway.removeprefix("http://").rpartition(":")
        self.pools = {gateway: ConnectionPool(host, int(port))}
        self.streams = ByocStreams(ledger_view.clocked, ledger_view.keys, self.ledger, tick=TICK)
        self.ledger_view = ledger_view
        self.app = self.key = ""
        self._authentications: list[Authentication] = []
        self.keeper = self.keeper_under(PLANS)

    def keeper_under(self, plans: dict[str, Plan]) -> StreamKeeper:
        """A keeper under these plans."""
        store = self.ledger_view.store
        authentication = Authentication(Auth(), plans, store=store, redis=store.redis)
        self._authentications.append(authentication)
        principals = PrincipalResolver(authentication.resolver)
        return StreamKeeper(self.streams, self.ledger, principals, self.pools, {self.gateway: b"gateway"})

    async def start(self, plan: str, credit: int = 0) -> list[Message]:
        """Return what a new customer is sent when a gateway reports that it has started `STREAM`."""
        redis = self.ledger_view.store.redis
        app, _ = await Apps(redis, None).create("test", plan)
        key, _ = await ApiKeys(redis, None).create(app.client_id)
        self.app, self.key = app.client_id, key.key_id
        if credit:
            await self.ledger_view.grant(credit, self.app)
        policy = self.ledger.policy(self.app, None, self.key, plan, PLANS[plan])
        units = {Unit.MILLISECONDS: TICK}
        admitted = await self.ledger.admit("r1", policy, workload=Workload.BYOC, model="cap", units=units)
        assert isinstance(admitted, Admitted), admitted
        exchange = Exchange("r1", 0.0, "POST", "/process/stream/start", route=BY_NAME["byoc-stream-start"])
        exchange.principal = Principal(self.app, None, self.key, plan, PLANS[plan])
        exchange.hold, exchange.policy, exchange.gateway = admitted.hold, policy, self.gateway
        exchange.gateways, exchange.new_stream = (self.gateway,), STREAM
        exchange.forwarded, exchange.gateway_status = True, 200
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        await self.streams.note_start(exchange)
        tracked = self.streams.track_start(exchange, send)
        response = json.dumps({"stream_id": STREAM, "whip_url": ""}).encode()
        await tracked({"type": "http.response.start", "status": 200, "headers": []})
        for at in range(len(response)):
            assert not sent
            await tracked({"type": "http.response.body", "body": response[at : at + 1], "more_body": True})
        await tracked({"type": "http.response.body", "body": b"", "more_body": False})
        assert exchange.hold is None
        return sent

    async def lived(self) -> int:
        return await self.ledger_view.lived(self.app)

    async def close(self) -> None:
        for authentication in self._authentications:
            await authentication.stop()
        self.ledger.close()
        for pool in self.pools.values():
            pool.close()


@pytest.fixture
async def gateway() -> AsyncIterator[MockGateway]:
    """A mock gateway on which `STREAM` runs."""
    async with MockGateway() as mock_gateway:
        job = {"request": "{}", "parameters": "{}", "capability": "cap", "timeout_seconds": 30}
        headers = {"livepeer": base64.b64encode(json.dumps(job).encode()).decode()}
        async with httpx.AsyncClient(base_url=mock_gateway.url, trust_env=False) as client:
            response = await client.post("/process/stream/start", json={"stream_id": STREAM}, headers=headers)
            assert response.json()["stream_id"] == STREAM
        yield mock_gateway


@pytest.fixture
async def worker(ledger_view: LedgerView, tmp_path: Path, gateway: MockGateway) -> AsyncIterator[Worker]:
    made = Worker(ledger_view, tmp_path / "one", gateway.url)
    yield made
    await made.close()


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
