"""Live streams through the whole product: WHIP, the gateway's webhooks, and a restart in between."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from middlewares.ledger.credit.prepaid import grant
from proxy.control.api_keys import ApiKeys
from proxy.mock_gateway.gateway import Hooks
from proxy.store.configured import redis_keys
from proxy.webhooks.live import sessions_of
from tests.live.server_fixture import SECRET, hooks_of
from tests.live.test_heartbeats import key_id
from tests.support.deployment import Customer, Deployment, deployed, eventually

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="module")]

TICK_SECONDS = 0.05
CONFIG = {
    "plans": {
        "live": {
            "billing": "credits",
            "limits": {"app": {"concurrent": 1}, "key": {"requests_per_minute": 4}},
            "prices": [{"unit": "seconds", "amount": 1_000_000}],
        }
    },
    "webhooks": {"tick_seconds": TICK_SECONDS, "gap_seconds": 600},
}
OFFER = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
WHIP = "/live/video-to-video/cam/whip"
SDP = {"content-type": "application/sdp"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    folder: Path = tmp_path_factory.mktemp("live")
    async with deployed(folder, CONFIG, {"TOLLGATE_WEBHOOKS__SECRET": SECRET}) as deployment:
        listen(deployment)
        yield deployment
    assert SECRET not in deployment.log.read_text()


def listen(deployment: Deployment) -> None:
    """Point the gateway at the private listener, whose port may be another one after a restart."""
    for name in Hooks.__dataclass_fields__:
        setattr(deployment.gateway.hooks, name, getattr(hooks_of(deployment.private), name))


async def publish(deployment: Deployment, customer: Customer, **query: str) -> httpx.Response:
    """Send a WHIP offer; the response is 201 whatever the webhook will say."""
    async with httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False) as client:
        return await client.post(WHIP, params=query, content=OFFER, headers=SDP | customer.headers)


async def ticks(deployment: Deployment, customer: Customer, count: int) -> None:
    """Send heartbeats until `count` of them were charged: those at least half a tick after the one before."""
    async with deployment.store() as store:
        sessions = sessions_of(deployment.settings.webhooks, store, redis_keys(deployment.settings))

        async def part() -> int:
            found = await sessions.find(customer.app, f"{customer.app}_cam")
            assert found is not None
            return found.session.hold.part

        wanted = await part() + count

        async def charged() -> bool:
            await deployment.gateway.beat()
            return await part() >= wanted

        await eventually(charged)


async def prepaid(deployment: Deployment) -> Customer:
    """Create a customer with credits."""
    customer = await deployment.customer("live")
    async with deployment.store() as store:
        await grant(store, redis_keys(deployment.settings), customer.app, None, 10**10, reference="first")
    return customer


async def usage(deployment: Deployment, app: str) -> list[dict[str, Any]]:
    """Return the usage events of an app, those of requests before those of its stream."""
    events = [event for event in await deployment.events(app) if event["type"] == "usage"]
    return sorted(events, key=lambda event: event["part"])


@pytest.mark.slow
async def test_a_live_stream_across_a_restart_until_its_key_is_revoked(deployment: Deployment) -> None:
    customer = await prepaid(deployment)
    response = await publish(deployment, customer, pipeline="noop", streamId="another-tenants", orchestrator="mine")
    assert response.status_code == 201
    stream = f"{customer.app}_cam"
    await eventually(lambda: deployment.gateway.live == [stream])
    sent, *_ = deployment.forwarded(customer.app)
    assert customer.key not in sent.target
    assert "orchestrator" not in sent.target
    async with httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False) as client:
        status = await client.get("/live/video-to-video/cam/status", headers=customer.headers)
    assert status.json()["pipeline"] == "noop", "a status request takes no slot, and the stream holds the only one"
    assert (await publish(deployment, customer)).status_code == 429
    await ticks(deployment, customer, 2)
    await deployment.stop()
    await deployment.start()
    listen(deployment)
    await ticks(deployment, customer, 2)
    async with deployment.store() as store:
        await ApiKeys(store.redis, None).revoke(key_id(customer))
    await deployment.gateway.beat()
    assert deployment.gateway.kicked == [stream]

    whip, status_request, *stream_events = await usage(deployment, customer.app)
    assert (status_request["units"], status_request["amount"]) == ({}, "0")
    assert (whip["status"], whip["units"], whip["amount"]) == (201, {}, "0"), "201 is no proof of a stream"
    assert [event["part"] for event in stream_events] == list(range(1, len(stream_events) + 1))
    assert {event["model"] for event in stream_events} == {"noop"}
    milliseconds = [event["units"]["milliseconds"] for event in stream_events]
    assert milliseconds[0] <= 1_000 * TICK_SECONDS
    assert milliseconds[1:] == [event["duration_ms"] for event in stream_events[1:]], (
        "no moment is missing, none counts twice"
    )
    assert sum(int(event["amount"]) for event in stream_events) == sum(milliseconds) * 1_000
    code, out, _ = await deployment.cli("verify", "--json")
    assert code == 0, out
    assert json.loads(out)["differences"] == []


async def test_a_refused_stream_is_closed_after_its_201(deployment: Deployment) -> None:
    """The gateway responds before it calls the webhook (gateway contract section 2), so a response costs nothing."""
    deployment.gateway.reset()
    customer = await deployment.customer("live")
    assert (await publish(deployment, customer)).status_code == 402, "nothing in the wallet: Tollgate itself refuses"
    other = await deployment.customer()
    deployment.gateway.hooks.live_auth_key = "not the secret of webhooks"
    assert (await publish(deployment, other)).status_code == 201
    await eventually(lambda: deployment.gateway.kicked == [f"{other.app}_cam"])
    listen(deployment)


async def test_delete_ends_the_stream_at_tollgate(deployment: Deployment) -> None:
    deployment.gateway.reset()
    customer = await prepaid(deployment)
    response = await publish(deployment, customer)
    stream = f"{customer.app}_cam"
    await eventually(lambda: deployment.gateway.live == [stream])
    await ticks(deployment, customer, 1)
    session = httpx.URL(response.headers["location"]).path
    async with httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False) as client:
        assert (await client.delete(session)).status_code == 401
        stranger = await deployment.customer()
        assert (await client.delete(session, headers=stranger.headers)).status_code in {200, 404}
        assert (await client.delete(session, headers=customer.headers)).status_code == 200
        assert (await client.delete(session, headers=customer.headers)).status_code == 200, "as often as one likes"
    await deployment.gateway.beat()
    assert deployment.gateway.kicked == [stream]
    *_, last = await usage(deployment, customer.app)
    assert last["provenance"]["milliseconds"] == "measured", "the time between the last tick and the end"
