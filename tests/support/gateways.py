"""A gate in front of several gateways, and clients that never use a connection twice, so that every worker is met."""

from __future__ import annotations

import contextlib
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from proxy.mock_gateway import MockGateway, Options, Record
from proxy.mock_gateway.media import png, ts
from tests.support.deployment import Customer, Deployment, deployed

SEGMENT = ts(4 * 188)
IMAGE = {"image": ("in.png", png(16, 16), "image/png")}
SDP = {"content-type": "application/sdp"}
OFFER = b"v=0\r\n"


def job(**parameters: bool) -> dict[str, str]:
    """The field that carries a BYOC job."""
    fields = {"request": "{}", "parameters": json.dumps(parameters), "capability": "c", "timeout_seconds": 30}
    return {"livepeer": b64encode(json.dumps(fields).encode()).decode()}


@dataclass
class TwoTierDeployment:
    """A gate and its gateways: two of a pool for everything, and two with an object store for image-to-video."""

    gate: Deployment
    plain: tuple[MockGateway, MockGateway]
    stored: tuple[MockGateway, MockGateway]

    @property
    def gateways(self) -> tuple[MockGateway, ...]:
        return *self.plain, *self.stored

    def heard(self, app: str) -> list[tuple[str, Record]]:
        """Every request of an app that a gateway was sent, with the gateway's origin."""
        return [
            (gateway.url, record)
            for gateway in self.gateways
            for record in gateway.requests
            if record.header("x-tollgate-app") == app
        ]

    @contextlib.asynccontextmanager
    async def client(self, customer: Customer) -> AsyncIterator[httpx.AsyncClient]:
        """A client of that customer; each request has a connection of its own."""
        async with httpx.AsyncClient(
            base_url=self.gate.public,
            headers=customer.headers,
            timeout=30,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        ) as client:
            yield client


@contextlib.asynccontextmanager
async def two_tiers(
    folder: Path, config: Mapping[str, Any] | None = None, **pool: Any
) -> AsyncIterator[TwoTierDeployment]:
    """Two workers in front of four gateways, for the time of a test; `pool` joins the settings of both pools.

    Segments of tier `recorded` go to the pool with an object store.
    """
    async with (
        MockGateway() as first,
        MockGateway() as second,
        MockGateway(Options(external_store=True, async_results=True)) as third,
        MockGateway(Options(external_store=True, async_results=True)) as fourth,
    ):
        pools = {
            "plain": {"gateways": [{"url": first.url}, {"url": second.url}], **pool},
            "stored": {"gateways": [{"url": third.url}, {"url": fourth.url}], **pool},
        }
        recorded = {"tier": "recorded", "workload": "transcoding", "pool": "stored"}
        rules = [{"workload": "image-to-video", "pool": "stored"}, recorded, {"pool": "plain"}]
        routing = {"pools": pools, "rules": rules}
        async with deployed(
            folder, {"workers": 2, "edge": {"async_video": True}, "routing": routing, **(config or {})}
        ) as gate:
            yield TwoTierDeployment(gate, (first, second), (third, fourth))


async def made_image(client: httpx.AsyncClient) -> str:
    """The URL of a new picture."""
    answer = await client.post("/text-to-image", json={"model_id": "m", "prompt": "p"})
    assert answer.status_code == 200, answer.text
    url: str = answer.json()["images"][0]["url"]
    return url


async def made_stream(client: httpx.AsyncClient, **body: str) -> dict[str, str]:
    """The answer to the start of a BYOC stream."""
    parameters = {"enable_video_ingress": True, "enable_video_egress": True, "enable_data_output": True}
    answer = await client.post("/process/stream/start", json=body, headers=job(**parameters))
    assert answer.status_code == 200, answer.text
    urls: dict[str, str] = answer.json()
    return urls


async def made_video(client: httpx.AsyncClient) -> str:
    """The id of an asynchronous image-to-video."""
    form = {"model_id": "m"}
    answer = await client.post("/image-to-video", data=form, files=IMAGE, headers={"prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    request_id: str = answer.json()["request_id"]
    return request_id
