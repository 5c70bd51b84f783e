"""Main job end to end: an API key in front, an unchanged gateway behind, one exact event for each request."""

import httpx
import pytest

from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")

IMAGE = {"model_id": "m", "prompt": "p", "width": 64, "height": 32, "num_images_per_prompt": 2}
CHAT = {"model": "m", "max_tokens": 8, "stream": True, "messages": [{"role": "user", "content": "hello"}]}


async def test_an_image_request_is_forwarded_metered_and_recorded(
    deployment: Deployment, client: httpx.AsyncClient
) -> None:
    customer = await deployment.customer("standard")
    response = await client.post("/text-to-image", json=IMAGE, headers=customer.headers)
    assert response.status_code == 200
    assert len(response.json()["images"]) == 2
    [event] = await deployment.settled(1, customer.app)
    assert event["id"] == response.headers["x-request-id"]
    assert event["units"] == {"pixels": 2 * 64 * 32, "generations": 2, "requests": 1} | {
        "milliseconds": event["duration_ms"]
    }
    assert (event["status"], event["outcome"], event["amount"]) == (200, "complete", "0")
    [request] = [each for each in deployment.gateway.requests if each.request_id == event["id"]]
    assert request.header("authorization") is None
    assert request.header("x-tollgate-app") == customer.app
    assert request.header("accept-encoding") == "identity"


async def test_a_result_file_is_served_through_tollgate(deployment: Deployment, client: httpx.AsyncClient) -> None:
    customer = await deployment.customer()
    response = await client.post("/text-to-image", json=IMAGE, headers=customer.headers)
    picture = await client.get(response.json()["images"][0]["url"], headers=customer.headers)
    assert picture.content.startswith(b"\x89PNG")


async def test_a_streamed_chat_is_relayed_as_it_comes(deployment: Deployment, client: httpx.AsyncClient) -> None:
    customer = await deployment.customer()
    held = CHAT | {"model": "mock/hold=chat,hold-at=2"}
    async with client.stream("POST", "/llm", json=held, headers=customer.headers) as response:
        lines = response.aiter_lines()
        first = [await anext(lines) for _ in range(4)]
        assert sum(line.startswith("data: ") for line in first) == 2, "two chunks arrive while the third is held back"
        deployment.gateway.release("chat")
        rest = [line async for line in lines]
    assert "[DONE]" not in "".join(rest)
    [event] = await deployment.settled(1, customer.app)
    assert event["finish_reason"] == "stop"
    assert event["units"]["output_tokens"] == 8
    assert event["provenance"]["output_tokens"] == "upstream"


async def test_limits_are_reported_on_success_and_on_refusal(deployment: Deployment, client: httpx.AsyncClient) -> None:
    customer = await deployment.customer("free")
    responses = [await client.post("/text-to-image", json=IMAGE, headers=customer.headers) for _ in range(11)]
    assert [each.status_code for each in responses] == [200] * 10 + [429]
    assert '"app-requests-per-minute";q=10;w=60' in responses[0].headers["ratelimit-policy"]
    assert '"app-requests-per-minute";r=9' in responses[0].headers["ratelimit"]
    refused = responses[-1].json()
    assert refused["code"] == "rate_limited"
    assert refused["violated-policies"] == ["app-requests-per-minute"]
    assert 0 < int(responses[-1].headers["retry-after"]) <= 62
    await deployment.settled(10, customer.app)


async def test_a_dropped_connection_becomes_502_and_costs_nothing(
    deployment: Deployment, client: httpx.AsyncClient
) -> None:
    customer = await deployment.customer()
    response = await client.post("/text-to-image", json=IMAGE | {"model_id": "mock/drop"}, headers=customer.headers)
    assert (response.status_code, response.json()["code"]) == (502, "gateway_dropped")
    [event] = await deployment.settled(1, customer.app)
    assert (event["outcome"], event["error"], event["status"]) == ("upstream_error", "gateway_dropped", 502)
    assert event["units"] == {}


async def test_an_empty_200_is_not_billed(deployment: Deployment, client: httpx.AsyncClient) -> None:
    customer = await deployment.customer()
    response = await client.post("/text-to-image", json=IMAGE | {"model_id": "mock/empty"}, headers=customer.headers)
    assert (response.status_code, response.content) == (200, b"")
    [event] = await deployment.settled(1, customer.app)
    assert (event["outcome"], event["units"]) == ("upstream_error", {})
