"""Hazard: names that clients choose. A long one must not reach Redis, where it would stay in records and keys."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.support.deployment import Deployment
from tests.support.raw_http import RawConnection, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

NAME_BYTES = 100_000
NOISE = 2 * 1024 * 1024
"""Bytes that Redis may grow by: a fiftieth of what 1,000 such names have."""
AT_ONCE = 16


async def memory(deployment: Deployment) -> int:
    async with deployment.store() as store:
        return int((await store.redis.info("memory"))["used_memory"])


@pytest.mark.slow
@pytest.mark.parametrize("requests", [1_000, pytest.param(10_000, marks=pytest.mark.soak)])
async def test_long_model_names_leave_nothing_in_redis(
    deployment: Deployment, client: httpx.AsyncClient, requests: int
) -> None:
    customer = await deployment.customer()
    chat = '{"model":"%s","messages":[{"role":"user","content":"hi"}]}'
    good = await client.post("/llm", content=chat % "m", headers=customer.headers)
    assert good.status_code == 200
    before = await memory(deployment)
    left = iter(range(requests))
    headers = [*customer.headers.items(), ("content-type", "application/json")]
    padding = b"x" * NAME_BYTES

    async def send() -> None:
        async with await RawConnection.open(deployment.address) as connection:
            for number in left:
                body = (chat % number).encode().replace(b'"model":"', b'"model":"' + padding)
                response = await connection.exchange(request("POST", "/llm", headers, body), method="POST")
                assert (response.status, response.code) == (400, "invalid_parameter")

    await asyncio.gather(*(send() for _ in range(AT_ONCE)))
    grown = await memory(deployment) - before
    assert grown < NOISE
    code, out, err = await deployment.cli("usage", "--app", customer.app)
    assert (code, err) == (0, "")
    assert "input_tokens" in out
    code, out, err = await deployment.cli("verify")
    assert code == 0, (out, err)
    print(f"{requests} requests with distinct names of {NAME_BYTES} bytes: Redis grew by {grown} bytes")


@pytest.mark.parametrize(
    ("path", "body", "parameter"),
    [
        ("/text-to-image", {"model_id": "m" * 257, "prompt": "p"}, "model_id"),
        ("/text-to-speech", {"model_id": "m" * 257, "text": "t"}, "model_id"),
        ("/image-to-video/result", {"request_id": "r" * 257}, "request_id"),
        ("/live/video-to-video/s/whip?pipeline=" + "p" * 257, {}, "pipeline"),
    ],
)
async def test_the_refusal_names_what_is_too_long(
    deployment: Deployment, client: httpx.AsyncClient, path: str, body: dict[str, str], parameter: str
) -> None:
    customer = await deployment.customer()
    response = await client.post(path, json=body, headers=customer.headers)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
    assert response.json()["parameter"] == parameter
