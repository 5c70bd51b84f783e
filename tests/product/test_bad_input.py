"""What is refused, in which words, and that nothing of it reaches the gateway or the bill."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from middlewares.auth.keys import pepper_of
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.wire import Answer, Wire, chunk, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

BODY_LIMIT = 100_000
JSON_LIMIT = 2_000
IMAGE = b'{"model_id":"m","prompt":"p"}'


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def strict(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """A gate with small caps on bodies."""
    edge = {"max_body_bytes": BODY_LIMIT, "max_json_bytes": JSON_LIMIT}
    async with deployed(tmp_path_factory.mktemp("strict"), {"edge": edge}) as deployment:
        yield deployment


@pytest_asyncio.fixture(loop_scope="package")
async def caller(strict: Deployment) -> AsyncIterator[Customer]:
    """A customer whose every request in the test is refused: no record at the gateway, no event."""
    customer = await strict.customer()
    seen = strict.gateway.counters["seen"]
    yield customer
    assert await ask(strict, "GET", "/healthz", customer.key, told="bytes=1") == 200  # whatever was sent has arrived
    assert strict.gateway.counters["seen"] == seen + 1
    assert [event["outcome"] for event in await strict.settled(1, customer.app)] == ["complete"]


async def ask(gate: Deployment, method: str, target: str, key: str, *, told: str = "") -> int:
    async with await Wire.open(gate.address) as wire:
        fields = [("X-Api-Key", key), ("X-Mock-Gateway", told)]
        return (await wire.ask(request(method, target, fields), method=method)).status


async def send(gate: Deployment, raw: bytes, *more: bytes) -> Answer:
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(raw, *more)
    assert answer.get("content-type") == "application/problem+json"
    document = json.loads(answer.body)
    assert (document["status"], document["request_id"]) == (answer.status, answer.get("x-request-id"))
    assert document["title"]
    assert document["detail"]
    return answer


async def test_a_missing_key_is_401(strict: Deployment, caller: Customer) -> None:
    answer = await send(strict, request("POST", "/text-to-image", body=IMAGE))
    assert (answer.status, answer.code) == (401, "missing_credentials")
    assert answer.all("www-authenticate") == ['Bearer realm="tollgate"']


@pytest.mark.parametrize(
    ("field", "value"),
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
async def test_a_bad_key_is_401(strict: Deployment, caller: Customer, field: str, value: str) -> None:
    answer = await send(strict, request("POST", "/text-to-image", [(field, value)], IMAGE))
    assert answer.status == 401
    assert "invalid_token" in (answer.get("www-authenticate") or "")
    assert not any(secret in answer.body for secret in (b"tgk_", b"eyJ", b"dXN"))


async def test_another_customers_key_with_one_character_changed_is_401(strict: Deployment, caller: Customer) -> None:
    for place in (10, 30, len(caller.key) - 1):
        wrong = caller.key[:place] + ("b" if caller.key[place] == "a" else "a") + caller.key[place + 1 :]
        answer = await send(strict, request("POST", "/upscale", [("X-Api-Key", wrong)], b"x"))
        assert (answer.status, answer.code) == (401, "invalid_credentials")


async def test_an_expired_key_is_401(strict: Deployment, caller: Customer) -> None:
    key = await strict.key(caller.app, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    answer = await send(strict, request("POST", "/upscale", [("X-Api-Key", key)], b"x"))
    assert (answer.status, answer.code) == (401, "key_expired")


async def test_a_revoked_key_is_401_as_soon_as_that_is_announced(strict: Deployment) -> None:
    customer = await strict.customer()
    assert await ask(strict, "GET", "/healthz", customer.key, told="bytes=1") == 200
    async with strict.store() as store:
        await ApiKeys(store.redis, pepper_of(strict.settings.auth)).revoke(customer.key.split("_")[1])
    await refused(strict, customer, "key_revoked")


async def test_a_suspended_app_is_401_as_soon_as_that_is_announced(strict: Deployment) -> None:
    customer = await strict.customer()
    assert await ask(strict, "GET", "/healthz", customer.key, told="bytes=1") == 200
    async with strict.store() as store:
        await Apps(store.redis, pepper_of(strict.settings.auth)).set_status(customer.app, "suspended")
    await refused(strict, customer, "app_suspended")


async def refused(gate: Deployment, customer: Customer, code: str) -> None:
    """The notice is on its way; once it has come, no request passes any more."""
    statuses = [200]
    while statuses[-1] == 200:
        statuses.append(await ask(gate, "GET", "/healthz", customer.key, told="bytes=1"))
        assert len(statuses) < 1_000
    answer = await send(gate, request("GET", "/healthz", [("X-Api-Key", customer.key)]))
    assert (statuses[-1], answer.status, answer.code) == (401, 401, code)
    await gate.settled(statuses.count(200), customer.app)


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
async def test_an_unknown_route_is_404(strict: Deployment, caller: Customer, target: str) -> None:
    for method in ("GET", "POST", "PUT"):
        answer = await send(strict, request(method, target, [("X-Api-Key", caller.key)], b"{}"))
        assert (answer.status, answer.code) == (404, "not_found")


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
    strict: Deployment, caller: Customer, method: str, target: str, allow: str
) -> None:
    answer = await send(strict, request(method, target, [("X-Api-Key", caller.key)], b"{}"))
    assert (answer.status, answer.code, answer.get("allow")) == (405, "method_not_allowed", allow)


async def test_a_body_over_the_cap_is_413_before_it_is_read(strict: Deployment, caller: Customer) -> None:
    fields = [("X-Api-Key", caller.key), ("Content-Length", str(BODY_LIMIT + 1))]
    answer = await send(strict, request("POST", "/upscale", fields))
    assert (answer.status, answer.code) == (413, "body_too_large")


async def test_a_metered_body_over_its_cap_is_413(strict: Deployment, caller: Customer) -> None:
    body = b'{"model_id":"m","prompt":"' + b"x" * JSON_LIMIT + b'"}'
    answer = await send(strict, request("POST", "/text-to-image", [("X-Api-Key", caller.key)], body))
    assert (answer.status, answer.code) == (413, "body_too_large")
    fields = [("X-Api-Key", caller.key), ("Transfer-Encoding", "chunked")]
    answer = await send(strict, request("POST", "/text-to-image", fields), chunk(body), chunk(b""))
    assert (answer.status, answer.code) == (413, "body_too_large")


async def test_a_chunked_body_over_the_cap_is_413_and_never_whole_at_the_gateway(strict: Deployment) -> None:
    """Its length shows only on the way, when the gateway has begun to read."""
    customer = await strict.customer()
    fields = [*customer.headers.items(), ("Transfer-Encoding", "chunked")]

    async with await Wire.open(strict.address) as wire:
        await wire.send(request("PUT", "/live/m/0.ts", fields) + chunk(b"x" * BODY_LIMIT))
        await eventually(lambda: sum(each.body_length for each in strict.heard(customer.app)) == BODY_LIMIT)
        await wire.send(chunk(b"x") + chunk(b""))
        answer = await wire.answer()
    assert (answer.status, answer.code) == (413, "body_too_large")
    [event] = await strict.settled(1, customer.app)
    assert (event["status"], event["outcome"], event["error"]) == (413, "refused", "body_too_large")
    await eventually(lambda: [each.outcome for each in strict.heard(customer.app)] == ["aborted"])
    assert not strict.heard(customer.app)[0].body_complete


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
async def test_malformed_json_is_400(strict: Deployment, caller: Customer, route: str, body: bytes) -> None:
    answer = await send(strict, request("POST", route, [("X-Api-Key", caller.key)], body))
    assert (answer.status, answer.code) == (400, "malformed_json")
