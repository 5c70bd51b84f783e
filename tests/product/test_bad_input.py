"""Bad input is refused with the right problem document, and nothing of it reaches the gateway or the ledger."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from middlewares.auth.keys import pepper_of
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.raw_http import RawConnection, Response, chunk, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

BODY_LIMIT = 100_000
JSON_LIMIT = 2_000
IMAGE = b'{"model_id":"m","prompt":"p"}'


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run one worker with small caps on bodies."""
    edge = {"max_body_bytes": BODY_LIMIT, "max_json_bytes": JSON_LIMIT}
    async with deployed(tmp_path_factory.mktemp("caps"), {"edge": edge}) as deployment:
        yield deployment


@pytest_asyncio.fixture(loop_scope="package")
async def refused_customer(deployment: Deployment) -> AsyncIterator[Customer]:
    """Create a customer whose every request in the test must be refused: no record at the gateway, no event."""
    customer = await deployment.customer()
    seen = deployment.gateway.counters["seen"]
    yield customer
    # Requests before this one have arrived at the gateway by now, if any was forwarded.
    assert await send_request(deployment, "GET", "/healthz", customer.key, behaviour="bytes=1") == 200
    assert deployment.gateway.counters["seen"] == seen + 1
    assert [event["outcome"] for event in await deployment.settled(1, customer.app)] == ["complete"]


async def send_request(deployment: Deployment, method: str, target: str, key: str, *, behaviour: str = "") -> int:
    async with await RawConnection.open(deployment.address) as connection:
        headers = [("X-Api-Key", key), ("X-Mock-Gateway", behaviour)]
        return (await connection.exchange(request(method, target, headers), method=method)).status


async def send(deployment: Deployment, raw: bytes, *more: bytes) -> Response:
    async with await RawConnection.open(deployment.address) as connection:
        response = await connection.exchange(raw, *more)
    assert response.get("content-type") == "application/problem+json"
    document = json.loads(response.body)
    assert (document["status"], document["request_id"]) == (response.status, response.get("x-request-id"))
    assert document["title"]
    assert document["detail"]
    return response


async def test_a_missing_key_is_401(deployment: Deployment, refused_customer: Customer) -> None:
    response = await send(deployment, request("POST", "/text-to-image", body=IMAGE))
    assert (response.status, response.code) == (401, "missing_credentials")
    assert response.all("www-authenticate") == ['Bearer realm="tollgate"']


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Bearer tgk_wrong"),
        ("Authorization", "Basic dXNlcjpwYXNz"),
        ("Authorization", "Bearer "),
        ("Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."),
        ("X-Api-Key", ""),
        ("X-Api-Key", "tgk_aaaaaaaaaaaaaaaa_" + 49 * "0"),
        ("X-Api-Key", "\xff\xfe"),
    ],
)
async def test_a_bad_key_is_401(deployment: Deployment, refused_customer: Customer, name: str, value: str) -> None:
    response = await send(deployment, request("POST", "/text-to-image", [(name, value)], IMAGE))
    assert response.status == 401
    assert "invalid_token" in (response.get("www-authenticate") or "")
    assert not any(secret in response.body for secret in (b"tgk_", b"eyJ", b"dXN"))


async def test_another_customers_key_with_one_character_changed_is_401(
    deployment: Deployment, refused_customer: Customer
) -> None:
    for position in (10, 30, len(refused_customer.key) - 1):
        wrong = (
            refused_customer.key[:position]
            + ("b" if refused_customer.key[position] == "a" else "a")
            + refused_customer.key[position + 1 :]
        )
        response = await send(deployment, request("POST", "/upscale", [("X-Api-Key", wrong)], b"x"))
        assert (response.status, response.code) == (401, "invalid_credentials")


async def test_an_expired_key_is_401(deployment: Deployment, refused_customer: Customer) -> None:
    key = await deployment.key(refused_customer.app, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    response = await send(deployment, request("POST", "/upscale", [("X-Api-Key", key)], b"x"))
    assert (response.status, response.code) == (401, "key_expired")


async def test_a_revoked_key_is_401_as_soon_as_that_is_announced(deployment: Deployment) -> None:
    customer = await deployment.customer()
    assert await send_request(deployment, "GET", "/healthz", customer.key, behaviour="bytes=1") == 200
    async with deployment.store() as store:
        await ApiKeys(store.redis, pepper_of(deployment.settings.auth)).revoke(customer.key.split("_")[1])
    await check_refused(deployment, customer, "key_revoked")


async def test_a_suspended_app_is_401_as_soon_as_that_is_announced(deployment: Deployment) -> None:
    customer = await deployment.customer()
    assert await send_request(deployment, "GET", "/healthz", customer.key, behaviour="bytes=1") == 200
    async with deployment.store() as store:
        await Apps(store.redis, pepper_of(deployment.settings.auth)).set_status(customer.app, "suspended")
    await check_refused(deployment, customer, "app_suspended")


async def check_refused(deployment: Deployment, customer: Customer, code: str) -> None:
    """Check that no request passes any more, once the notice on its way has arrived."""
    statuses = [200]
    while statuses[-1] == 200:
        statuses.append(await send_request(deployment, "GET", "/healthz", customer.key, behaviour="bytes=1"))
        assert len(statuses) < 1_000
    response = await send(deployment, request("GET", "/healthz", [("X-Api-Key", customer.key)]))
    assert (statuses[-1], response.status, response.code) == (401, 401, code)
    await deployment.settled(statuses.count(200), customer.app)


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/nothing",
        "/llm/",
        "/LLM",
        "/text-to-image/x",
        "/live/video-to-video/smoketest",
        "/live/video-to-video/s/start",
        "/live/s/start",
        "/live/m/0.m3u8",
        "/process/stream/s/rtmp",
        "/process/token",
        "/capability/register",
        "/vod/a.m3u8",
        "/metrics",
        "/readyz",
        "/__mock/requests",
        "/status",
    ],
)
async def test_an_unknown_route_is_404(deployment: Deployment, refused_customer: Customer, target: str) -> None:
    for method in ("GET", "POST", "PUT"):
        response = await send(deployment, request(method, target, [("X-Api-Key", refused_customer.key)], b"{}"))
        assert (response.status, response.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("GET", "/llm", "POST"),
        ("PUT", "/text-to-image", "POST"),
        ("DELETE", "/live/m/0.ts", "POST, PUT"),
        ("POST", "/stream/a.ts", "GET, HEAD"),
        ("PATCH", "/live/video-to-video/s/whip", "POST, OPTIONS"),
    ],
)
async def test_a_wrong_method_is_405(
    deployment: Deployment, refused_customer: Customer, method: str, target: str, allow: str
) -> None:
    response = await send(deployment, request(method, target, [("X-Api-Key", refused_customer.key)], b"{}"))
    assert (response.status, response.code, response.get("allow")) == (405, "method_not_allowed", allow)


async def test_a_body_over_the_cap_is_413_before_it_is_read(deployment: Deployment, refused_customer: Customer) -> None:
    headers = [("X-Api-Key", refused_customer.key), ("Content-Length", str(BODY_LIMIT + 1))]
    response = await send(deployment, request("POST", "/upscale", headers))
    assert (response.status, response.code) == (413, "body_too_large")


async def test_a_metered_body_over_its_cap_is_413(deployment: Deployment, refused_customer: Customer) -> None:
    body = b'{"model_id":"m","prompt":"' + b"x" * JSON_LIMIT + b'"}'
    response = await send(deployment, request("POST", "/text-to-image", [("X-Api-Key", refused_customer.key)], body))
    assert (response.status, response.code) == (413, "body_too_large")
    headers = [("X-Api-Key", refused_customer.key), ("Transfer-Encoding", "chunked")]
    response = await send(deployment, request("POST", "/text-to-image", headers), chunk(body), chunk(b""))
    assert (response.status, response.code) == (413, "body_too_large")


async def test_a_chunked_body_over_the_cap_is_413_and_never_whole_at_the_gateway(deployment: Deployment) -> None:
    """The length of a chunked body shows only on its way, when the gateway has begun to read."""
    customer = await deployment.customer()
    headers = [*customer.headers.items(), ("Transfer-Encoding", "chunked")]

    async with await RawConnection.open(deployment.address) as connection:
        await connection.send(request("PUT", "/live/m/0.ts", headers) + chunk(b"x" * BODY_LIMIT))
        await eventually(lambda: sum(each.body_length for each in deployment.forwarded(customer.app)) == BODY_LIMIT)
        await connection.send(chunk(b"x") + chunk(b""))
        response = await connection.response()
    assert (response.status, response.code) == (413, "body_too_large")
    [event] = await deployment.settled(1, customer.app)
    assert (event["status"], event["outcome"], event["error"]) == (413, "refused", "body_too_large")
    await eventually(lambda: [each.outcome for each in deployment.forwarded(customer.app)] == ["aborted"])
    assert not deployment.forwarded(customer.app)[0].body_complete


@pytest.mark.parametrize("route", ["/text-to-image", "/llm", "/text-to-speech", "/api/v1/inference/llm"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"a":1,}',
        b'{"model_id":"\xff"}',
        b"\xef\xbb\xbf{}",
        b"{}x",
        b"[" * 1_500,
    ],
    ids=repr,
)
async def test_malformed_json_is_400(
    deployment: Deployment, refused_customer: Customer, route: str, body: bytes
) -> None:
    response = await send(deployment, request("POST", route, [("X-Api-Key", refused_customer.key)], body))
    assert (response.status, response.code) == (400, "malformed_json")
