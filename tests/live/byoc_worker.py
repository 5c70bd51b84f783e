"""The part of one worker that keeps the time of BYOC streams, in front of a mock gateway."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import httpx
from starlette.types import Message

from config.access import Auth
from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.exchange import Exchange, Principal
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Admitted
from middlewares.live.byoc_streams import ByocStreams
from middlewares.routes import BY_NAME
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.identity.authentication import Authentication
from proxy.identity.principal_resolver import PrincipalResolver
from proxy.mock_gateway import MockGateway
from proxy.upstream import ConnectionPool
from proxy.webhooks.stream_keeper import StreamKeeper
from tests.ledger.redis_time import ClockOf
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


async def start_at(gateway: MockGateway, capability: str = "cap") -> None:
    """Start `STREAM` at the gateway itself."""
    job = {"request": "{}", "parameters": "{}", "capability": capability, "timeout_seconds": 30}
    headers = {"livepeer": base64.b64encode(json.dumps(job).encode()).decode()}
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        response = await client.post("/process/stream/start", json={"stream_id": STREAM}, headers=headers)
        assert response.json()["stream_id"] == STREAM
