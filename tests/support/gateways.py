"""Tollgate in front of several gateways, and clients that open a connection per request, to meet every worker."""

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


def job(capability: str = "c", /, **parameters: bool) -> dict[str, str]:
    """Return the header that carries a BYOC job."""
    description = {
        "request": "{}",
        "parameters": json.dumps(parameters),
        "capability": capability,
        "timeout_seconds": 30,
    }
    return {"livepeer": b64encode(json.dumps(description).encode()).decode()}


@dataclass
class TwoTierDeployment:
    """Tollgate and its gateways: two of a pool for everything, and two with an object store for image-to-video."""

    deployment: Deployment
    plain: tuple[MockGateway, MockGateway]
    stored: tuple[MockGateway, MockGateway]

    @property
    def gateways(self) -> tuple[MockGateway, ...]:
        return *self.plain, *self.stored

    def forwarded(self, app: str) -> list[tuple[str, Record]]:
        """Return every request that a gateway received on behalf of an app, with the gateway's origin."""
        return [
            (gateway.url, record)
            for gateway in self.gateways
            for record in gateway.requests
            if record.header("x-tollgate-app") == app
        ]

    @contextlib.asynccontextmanager
    async def client(self, customer: Customer) -> AsyncIterator[httpx.AsyncClient]:
        """Open a client of a customer; each request has a connection of its own."""
        async with httpx.AsyncClient(
            base_url=self.deployment.public,
            headers=customer.headers,
            timeout=30,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        ) as client:
            yield client


@contextlib.asynccontextmanager
async def deployed_two_tiers(
    folder: Path, config: Mapping[str, Any] | None = None, **pool: Any
) -> AsyncIterator[TwoTierDeployment]:
    """Run two workers in front of four gateways, for the time of a test; `pool` joins the settings of both pools.

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
        ) as deployment:
            yield TwoTierDeployment(deployment, (first, second), (third, fourth))


async def made_image(client: httpx.AsyncClient) -> str:
    """Make a picture; return its URL."""
    response = await client.post("/text-to-image", json={"model_id": "m", "prompt": "p"})
    assert response.status_code == 200, response.text
    url: str = response.json()["images"][0]["url"]
    return url


async def made_stream(client: httpx.AsyncClient, **body: str) -> dict[str, str]:
    """Start a BYOC stream; return its URLs by name."""
    parameters = {"enable_video_ingress": True, "enable_video_egress": True, "enable_data_output": True}
    response = await client.post("/process/stream/start", json=body, headers=job(**parameters))
    assert response.status_code == 200, response.text
    urls: dict[str, str] = response.json()
    return urls


async def made_video(client: httpx.AsyncClient) -> str:
    """Begin an asynchronous image-to-video; return its id."""
    form = {"model_id": "m"}
    response = await client.post("/image-to-video", data=form, files=IMAGE, headers={"prefer": "respond-async"})
    assert response.status_code == 202, response.text
    request_id: str = response.json()["request_id"]
    return request_id
