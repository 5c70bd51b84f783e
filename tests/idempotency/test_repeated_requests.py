"""Requests that are repeated with their `Idempotency-Key`, against real workers and a real Redis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from proxy.mock_gateway.media import png
from tests.chaos.load import chat
from tests.idempotency.conftest import PRICE, RESPONSE_BYTES
from tests.support.deployment import Customer, Deployment, eventually
from tests.support.gateways import SEGMENT, job

pytestmark = pytest.mark.asyncio(loop_scope="package")

IMAGE: dict[str, Any] = {"model_id": "m", "prompt": "p", "width": 8, "height": 8}
REPLAYED = "idempotency-replayed"


def keyed(key: str = "k", **more: str) -> dict[str, str]:
    return {"idempotency-key": key, **more}


async def post(client: httpx.AsyncClient, path: str, **request: Any) -> httpx.Response:
    """Send a request; one whose first has its response, but is not settled yet, again until that is."""
    responses: list[httpx.Response] = []

    async def is_decided() -> bool:
        responses[:] = [await client.post(path, **request)]
        return responses[0].status_code != 409 or responses[0].json()["code"] != "idempotency_in_flight"

    await eventually(is_decided)
    return responses[0]


async def send(client: httpx.AsyncClient, path: str = "/text-to-image", key: str = "k", **body: Any) -> httpx.Response:
    return await post(client, path, json=IMAGE | body, headers=keyed(key))


async def send_once(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/text-to-image", json=IMAGE | body, headers=keyed())


async def test_a_repetition_gets_the_kept_response_and_is_billed_once(
    deployment: Deployment, client: httpx.AsyncClient, customer: Customer
) -> None:
    first = await send(client)
    assert first.status_code == 200, first.text
    assert REPLAYED not in first.headers
    for key in ("k", '"k"'):
        again = await send(client, key=key)
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers[REPLAYED] == "true"
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["x-request-id"] != first.headers["x-request-id"]
    [event] = await deployment.settled(1, customer.app)
    assert (event["id"], event["amount"]) == (first.headers["x-request-id"], str(64 * PRICE))
    assert len(deployment.forwarded(customer.app)) == 1


async def test_the_log_names_the_request_of_a_replay(deployment: Deployment, client: httpx.AsyncClient) -> None:
    first, again = await send(client), await send(client)

    def logged(response: httpx.Response) -> list[str | None]:
        request_id = response.headers["x-request-id"]
        return [line["replay_of"] for line in deployment.lines() if line.get("request_id") == request_id]

    await eventually(lambda: bool(logged(again)))
    assert logged(again) == [first.headers["x-request-id"]]
    assert logged(first) == [None]


async def test_replays_are_bounded(deployment: Deployment, client: httpx.AsyncClient, customer: Customer) -> None:
    first = await send(client)
    others = [await send(client) for _ in range(60)]
    statuses = [each.status_code for each in others]
    assert 429 in statuses
    limited = others[statuses.index(429)]
    assert (limited.json()["code"], limited.json()["policy"]) == ("rate_limited", "replayed-responses")
    assert {each.content for each in others if each.status_code == 200} == {first.content}
    assert len(deployment.forwarded(customer.app)) == 1


async def test_what_only_claims_to_be_a_repetition_is_bounded_before_its_body_is_read(
    deployment: Deployment, client: httpx.AsyncClient, customer: Customer
) -> None:
    """No limit of a plan stands before it, and each has its body read and hashed to the end, however long it is."""
    await send(client)
    statuses = [(await send(client, prompt="another")).status_code for _ in range(60)]
    assert set(statuses) == {422, 429}
    assert len(deployment.forwarded(customer.app)) == 1


async def test_the_oldest_responses_make_room(
    deployment: Deployment, client: httpx.AsyncClient, customer: Customer
) -> None:
    body = chat(26, 0.0)
    for key in "abc":
        response = await post(client, "/llm", json=body, headers=keyed(key))
        assert response.status_code == 200
        assert RESPONSE_BYTES * 2 / 3 < len(response.content) < RESPONSE_BYTES
    await deployment.settled(3, customer.app)
    statuses = [(await post(client, "/llm", json=body, headers=keyed(key))).status_code for key in "abc"]
    assert statuses == [409, 200, 200]
    assert len(deployment.forwarded(customer.app)) == 3


async def test_the_gateway_never_sees_the_key(
    deployment: Deployment, client: httpx.AsyncClient, customer: Customer
) -> None:
    await send(client)
    [record] = deployment.forwarded(customer.app)
    assert record.header("idempotency-key") is None


async def test_another_body_under_the_same_key_is_refused(
    deployment: Deployment, client: httpx.AsyncClient, customer: Customer
) -> None:
    first = await send(client)
    other = await send(client, prompt="another")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert other.json()["original_request_id"] == first.headers["x-request-id"]
    assert len(deployment.forwarded(customer.app)) == 1


async def test_a_second_one_in_flight_is_refused_and_replayed_afterwards(
    deployment: Deployment, client: httpx.AsyncClient, customer: Customer
) -> None:
    body = {"model_id": "mock/hold=in-flight"}
    first = asyncio.create_task(send(client, **body))
    await deployment.gateway.wait_for(held=1)
    second = await send_once(client, **body)
    assert (second.status_code, second.json()["code"]) == (409, "idempotency_in_flight")
    assert int(second.headers["retry-after"]) >= 1
    deployment.gateway.release("in-flight")
    assert (await first).status_code == 200
    again = await send(client, **body)
    assert (again.status_code, again.content) == (200, (await first).content)
    assert len(deployment.forwarded(customer.app)) == 1


async def test_a_key_is_bound_to_tenant_user_and_route(
    deployment: Deployment, client: httpx.AsyncClient, customer: Customer
) -> None:
    user = await deployment.user(customer.app, "u")
    others = [
        (await deployment.customer("refund")).headers,
        Customer(customer.app, await deployment.key(customer.app)).headers,
        Customer(customer.app, await deployment.key(customer.app, user)).headers,
    ]
    chats = chat(3) | {"stream": False}
    assert (await send(client)).status_code == 200
    for headers in others:
        response = await client.post("/text-to-image", json=IMAGE, headers=headers | keyed())
        assert (response.status_code, REPLAYED in response.headers) == (200, False)
    for path in ("/llm", "/v1/chat/completions"):
        response = await client.post(path, json=chats, headers=keyed())
        assert (response.status_code, REPLAYED in response.headers) == (200, False)
    alias = await send(client, "/api/v1/inference/text-to-image")
    assert alias.headers[REPLAYED] == "true", "one route by another path"


async def test_chats_are_replayed_as_their_client_got_them(client: httpx.AsyncClient) -> None:
    for path in ("/llm", "/v1/chat/completions"):
        for stream in (True, False):
            body = chat(5, 0.0) | {"stream": stream, "stream_options": {"include_usage": True}}
            first, again = [await post(client, path, json=body, headers=keyed(f"{stream}")) for _ in range(2)]
            assert first.status_code == 200, first.text
            assert again.content == first.content
            assert again.headers["content-type"] == first.headers["content-type"]
            assert (REPLAYED in first.headers, REPLAYED in again.headers) == (False, True)


async def test_a_response_that_is_too_long_is_not_kept(
    deployment: Deployment, client: httpx.AsyncClient, customer: Customer
) -> None:
    body = chat(RESPONSE_BYTES // 40, 0.0)
    first = await client.post("/llm", json=body, headers=keyed())
    assert first.status_code == 200
    assert len(first.content) > RESPONSE_BYTES
    again = await post(client, "/llm", json=body, headers=keyed())
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_done")
    assert again.json()["original_request_id"] == first.headers["x-request-id"]
    other = await client.post("/llm", json=body | {"max_tokens": 3}, headers=keyed())
    assert other.status_code == 422
    await deployment.settled(1, customer.app)


async def test_forms_are_compared_without_their_boundary(
    deployment: Deployment, client: httpx.AsyncClient, customer: Customer
) -> None:
    def form(picture: bytes) -> dict[str, Any]:
        return {"files": {"image": ("a.png", picture, "image/png")}, "data": {"model_id": "m", "prompt": "p"}}

    picture = png(16, 16)
    first, again = [await post(client, "/upscale", **form(picture), headers=keyed()) for _ in range(2)]
    assert (first.status_code, again.status_code, again.headers[REPLAYED]) == (200, 200, "true"), again.text
    other = await client.post("/upscale", **form(png(16, 17)), headers=keyed())
    assert other.status_code == 422
    assert len(deployment.forwarded(customer.app)) == 1


async def test_jobs_segments_and_streams_of_byoc(
    deployment: Deployment, client: httpx.AsyncClient, customer: Customer
) -> None:
    for path, content in (
        ("/process/request/x", b"{}"),
        ("/live/m/0.ts", SEGMENT),
        ("/process/stream/start", json.dumps({"stream_name": "s", "params": "{}"}).encode()),
    ):
        first, again = [await post(client, path, content=content, headers=job() | keyed()) for _ in range(2)]
        assert (first.status_code, again.status_code) == (200, 200), (path, first.text, again.text)
        assert (again.headers.get(REPLAYED), again.content) == ("true", first.content), path
    other = await client.post("/process/request/x", content=b"{}", headers=job("other") | keyed())
    assert other.status_code == 422, "the job is part of what is asked for"
    assert len(deployment.forwarded(customer.app)) == 3


async def test_large_bodies_and_bodies_of_unknown_length(
    deployment: Deployment, client: httpx.AsyncClient, customer: Customer
) -> None:
    body = json.dumps(IMAGE | {"prompt": "p" * 40_000}).encode()

    async def pieces(text: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(text), 9_999):
            yield text[start : start + 9_999]

    async def repeated(text: bytes) -> httpx.Response:
        return await client.post("/text-to-image", content=pieces(text), headers=keyed())

    first = await post(client, "/text-to-image", content=body, headers=keyed())
    await deployment.settled(1, customer.app)
    again = await repeated(body)
    assert (first.status_code, again.status_code, again.headers[REPLAYED]) == (200, 200, "true")
    assert (await repeated(body + b" ")).status_code == 422
    assert len(deployment.forwarded(customer.app)) == 1


@pytest.mark.parametrize("value", ["", '""', "a b", '"a', "a" * 256, '"a", "b"', '"a"; b', "é"])
async def test_what_is_no_key_is_refused(client: httpx.AsyncClient, value: str) -> None:
    headers = [(b"idempotency-key", value.encode())]
    response = await client.post("/text-to-image", json=IMAGE, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_invalid")


async def test_the_header_means_nothing_elsewhere(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        response = await client.get("/v1/models", headers=keyed("no key at all"))
        assert (response.status_code, REPLAYED in response.headers) == (200, False)


async def test_work_that_failed_frees_the_key(
    deployment: Deployment, client: httpx.AsyncClient, customer: Customer
) -> None:
    refused = await client.post("/text-to-image", json={"model_id": "m", "width": -1}, headers=keyed())
    assert refused.status_code == 400
    headers = keyed() | {"x-mock-gateway": "status=500"}
    failed = await client.post("/text-to-image", json=IMAGE, headers=headers)
    assert failed.status_code == 500
    done = await send(client, prompt="another")
    assert (done.status_code, REPLAYED in done.headers) == (200, False)
    assert len(deployment.forwarded(customer.app)) == 2


async def test_a_client_that_left_gets_by_its_next_attempt_what_it_pays_for(
    deployment: Deployment, client: httpx.AsyncClient, customer: Customer
) -> None:
    body = {"model_id": "mock/hold=left"}
    first = asyncio.create_task(send(client, **body))
    await deployment.gateway.wait_for(held=1)
    first.cancel()
    await asyncio.wait([first])
    assert (await send_once(client, **body)).status_code == 409
    deployment.gateway.release("left")
    [event] = await deployment.settled(1, customer.app)
    again = await send(client, **body)
    assert (again.status_code, again.headers[REPLAYED]) == (200, "true")
    assert (event["outcome"], event["amount"]) == ("complete", str(64 * PRICE))
    assert len(deployment.forwarded(customer.app)) == 1


async def test_a_client_that_left_a_stream_is_told_that_its_work_was_done(
    deployment: Deployment, client: httpx.AsyncClient, customer: Customer
) -> None:
    body = chat(50, 0.05)
    async with client.stream("POST", "/llm", json=body, headers=keyed()) as response:
        request_id = response.headers["x-request-id"]
        async for _ in response.aiter_raw():
            break
    [event] = await deployment.settled(1, customer.app)
    assert event["outcome"] == "client_disconnect"
    again = await client.post("/llm", json=body, headers=keyed())
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_done")
    assert again.json()["original_request_id"] == request_id


async def test_pages_may_send_the_key_and_read_what_it_did(client: httpx.AsyncClient) -> None:
    page = {"origin": "https://app.example"}
    preflight = await client.options(
        "/text-to-image",
        headers=page | {"access-control-request-method": "POST", "access-control-request-headers": "idempotency-key"},
    )
    assert "idempotency-key" in preflight.headers["access-control-allow-headers"]
    for _ in range(2):
        response = await post(client, "/text-to-image", json=IMAGE, headers=keyed() | page)
        assert REPLAYED in response.headers["access-control-expose-headers"]
        assert response.headers.get_list("access-control-allow-origin") == [page["origin"]]
