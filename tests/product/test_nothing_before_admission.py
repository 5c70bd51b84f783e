"""Hazard: work for requests that nobody has admitted. No body is asked for before its key and their limits are."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.deployment import Customer, Deployment, deployed
from tests.support.raw_http import RawConnection, ResponseHead, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

MIB = 1 << 20
EXPECT = ("Expect", "100-continue")
PATHS = ("/llm", "/v1/chat/completions", "/text-to-image", "/image-to-image", "/process/stream/start", "/live/cam/0.ts")
FORM = ("Content-Type", "multipart/form-data; boundary=b")
ONE = {"tier": "standard", "limits": {"app": {"requests_per_minute": 1}}}
ONE_AT_ONCE = {"tier": "standard", "limits": {"app": {"concurrent": 1}}}


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def impatient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run a worker that gives bodies a second."""
    config = {"workers": 1, "edge": {"body_seconds": 1}, "plans": {"one": ONE, "one-at-once": ONE_AT_ONCE}}
    async with deployed(tmp_path_factory.mktemp("impatient"), config) as deployment:
        yield deployment


def head(path: str, key: str, size: int = MIB) -> bytes:
    return request("POST", path, [("X-Api-Key", key), EXPECT, FORM, ("Content-Length", str(size))])


async def first_head(deployment: Deployment, path: str, key: str) -> ResponseHead:
    """Return the first head that comes back for a body which the server has to ask for."""
    async with await RawConnection.open(deployment.address) as connection:
        await connection.send(head(path, key))
        return await connection.head()


@pytest.mark.parametrize("path", PATHS)
async def test_the_body_of_an_unknown_caller_is_not_asked_for(impatient: Deployment, path: str) -> None:
    assert (await first_head(impatient, path, "tg_nobody")).status == 401


@pytest.mark.parametrize("path", ["/llm", "/v1/chat/completions", "/text-to-image", "/image-to-image"])
async def test_the_body_of_a_caller_past_its_limits_is_not_asked_for(impatient: Deployment, path: str) -> None:
    customer = await impatient.customer("one")
    assert (await first_head(impatient, path, customer.key)).status == 100
    refused = await first_head(impatient, path, customer.key)
    assert (refused.status, refused.get("connection")) == (429, "close")


async def chat(deployment: Deployment, customer: Customer) -> int:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
    async with await RawConnection.open(deployment.address) as connection:
        return (await connection.exchange(request("POST", "/llm", customer.headers.items(), body))).status


@pytest.mark.ci
async def test_a_body_that_drips_is_refused_and_its_slot_is_free_again(impatient: Deployment) -> None:
    customer = await impatient.customer("one-at-once")
    async with await RawConnection.open(impatient.address) as connection:
        await connection.send(head("/llm", customer.key))
        assert (await connection.head()).status == 100
        assert await chat(impatient, customer) == 429
        response = await connection.response()
        assert (response.status, response.code) == (408, "request_timeout")
    assert await chat(impatient, customer) == 200
    await impatient.settled(1, customer.app)
