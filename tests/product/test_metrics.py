"""Metrics are exact over all workers, well named, and as free of secrets as everything else that is written."""

import asyncio
import json
import re
from base64 import urlsafe_b64encode
from collections import Counter

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.auth.issuer import claims, token
from tests.product.conftest import PEPPER
from tests.support.deployment import Customer, Deployment, eventually
from tests.support.raw_http import RawConnection, Response, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

Samples = Counter[str]

# Prometheus' own base units, and what Tollgate counts: https://prometheus.io/docs/practices/naming/

COUNTER = re.compile(r"tollgate(_[a-z]+)+_total")
GAUGE = re.compile(r"tollgate(_[a-z]+)+")
HISTOGRAM = re.compile(r"tollgate(_[a-z]+)+_(seconds|bytes)")


async def exposition(deployment: Deployment) -> str:
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as http:
        response = await http.get(f"{deployment.private}/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return response.text


async def samples(deployment: Deployment) -> Samples:
    """Return the value of every sample, by name and labels."""
    found: Samples = Counter()
    for family in text_string_to_metric_families(await exposition(deployment)):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] += int(sample.value)
    return found


def requests(outcome: str, route: str, status: int) -> str:
    return f"tollgate_requests_total{{outcome={outcome},route={route},status={status}}}"


async def send_request(
    deployment: Deployment, method: str, target: str, behaviour: str, *headers: tuple[str, str], body: bytes = b""
) -> Response:
    async with await RawConnection.open(deployment.address) as connection:
        sent = request(method, target, [("X-Mock-Gateway", behaviour), *headers], body if method != "GET" else None)
        return await connection.exchange(sent, method=method)


async def test_every_request_of_every_worker_is_counted_once(limited_deployment: Deployment) -> None:
    customer = await limited_deployment.customer("ten-per-app")
    key = ("X-Api-Key", customer.key)
    before = await samples(limited_deployment)
    image = b'{"model_id":"m","prompt":"p","width":64,"height":32}'
    exchanges = [
        *(send_request(limited_deployment, "GET", "/stream/a.ts", "bytes=1000", key) for _ in range(25)),
        *(send_request(limited_deployment, "GET", "/nothing", "", key) for _ in range(20)),
        *(send_request(limited_deployment, "POST", "/upscale", "", body=b"x" * 10) for _ in range(30)),
    ]
    responses = await asyncio.gather(*exchanges)
    assert Counter(response.status for response in responses) == {200: 10, 429: 15, 404: 20, 401: 30}
    paid = await limited_deployment.customer()
    pictures = [
        send_request(limited_deployment, "POST", "/text-to-image", "", ("X-Api-Key", paid.key), body=image)
        for _ in range(40)
    ]
    assert {response.status for response in await asyncio.gather(*pictures)} == {200}
    expected = {
        requests("complete", "playback", 200): 10,
        requests("refused", "playback", 429): 15,
        requests("refused", "none", 404): 20,
        requests("refused", "upscale", 401): 30,
        requests("complete", "text-to-image", 200): 40,
        "tollgate_refusals_total{code=rate_limited}": 15,
        "tollgate_refusals_total{code=not_found}": 20,
        "tollgate_refusals_total{code=missing_credentials}": 30,
        "tollgate_request_bytes_total{route=text-to-image}": 40 * len(image),
        "tollgate_usage_units_total{unit=generations,workload=text-to-image}": 40,
        "tollgate_usage_units_total{unit=pixels,workload=text-to-image}": 40 * 64 * 32,
        "tollgate_usage_units_total{unit=requests,workload=text-to-image}": 40,
        "tollgate_request_duration_seconds_count{route=text-to-image}": 40,
        "tollgate_upstream_first_byte_seconds_count{route=text-to-image}": 40,
    }

    async def all_counted() -> bool:
        grown = await samples(limited_deployment) - before
        return {name: grown[name] for name in expected} == expected

    await eventually(all_counted)
    await limited_deployment.settled(10, customer.app)
    await limited_deployment.settled(40, paid.app)


async def test_requests_in_flight_are_those_of_all_workers(limited_deployment: Deployment) -> None:
    customer = await limited_deployment.customer()
    held = [
        asyncio.create_task(
            send_request(
                limited_deployment, "GET", "/stream/a.ts", f"hold={customer.app},bytes=1", ("X-Api-Key", customer.key)
            )
        )
        for _ in range(30)
    ]

    async def in_flight(count: int) -> bool:
        return (await samples(limited_deployment))["tollgate_requests_in_flight{}"] == count

    await eventually(lambda: in_flight(30))
    limited_deployment.gateway.release(customer.app)
    assert {response.status for response in await asyncio.gather(*held)} == {200}
    await eventually(lambda: in_flight(0))


async def test_names_units_and_help_follow_the_conventions(limited_deployment: Deployment) -> None:
    families = list(text_string_to_metric_families(await exposition(limited_deployment)))
    assert families
    for family in families:
        pattern = {"counter": COUNTER, "gauge": GAUGE, "histogram": HISTOGRAM}[family.type]
        name = family.name + "_total" if family.type == "counter" else family.name
        assert pattern.fullmatch(name)
        assert family.documentation.endswith(".")
        labels = {label for sample in family.samples for label in sample.labels}
        assert labels <= {"route", "status", "outcome", "code", "workload", "unit", "state", "policy", "gateway", "le"}


CANARY = "CANARYcanary1234567890"


async def provoke(deployment: Deployment, customer: Customer, good: str) -> list[Response]:
    """Send secrets in every part of a request, through success and failure."""
    key = ("Authorization", f"Bearer {customer.key}")
    raw = urlsafe_b64encode(f"HTTP/1.1 200 OK\r\nX-A: {CANARY}\r\nContent-Length: {CANARY}\r\n\r\n".encode()).decode()
    image = {"model_id": "m", "prompt": CANARY}
    return [
        await send_request(deployment, "POST", "/text-to-image", "", key, body=json.dumps(image).encode()),
        await send_request(deployment, "POST", "/text-to-image", "", key, body=f'{{"prompt": {CANARY}'.encode()),
        await send_request(
            deployment, "POST", "/text-to-image", "", key, body=json.dumps({**image, "width": CANARY}).encode()
        ),
        await send_request(deployment, "POST", "/upscale", "drop", key, body=CANARY.encode()),
        await send_request(deployment, "GET", f"/stream/a.ts?token={CANARY}", f"raw={raw}", key),
        await send_request(
            deployment, "GET", "/stream/a.ts", "bytes=1", key, ("Cookie", f"session={CANARY}"), ("X-A", CANARY)
        ),
        await send_request(deployment, "GET", "/stream/a.ts", "bytes=1", ("Authorization", f"Bearer {good}")),
        await send_request(deployment, "GET", "/stream/a.ts", "bytes=1", ("Authorization", f"Bearer {good}{CANARY}")),
        await send_request(deployment, "GET", "/stream/a.ts", "bytes=1", ("Authorization", f"Basic {CANARY}")),
        await send_request(deployment, "GET", "/stream/a.ts", "bytes=1", ("X-Api-Key", f"tgk_{CANARY}")),
        await send_request(deployment, "GET", "/stream/a.ts", "bytes=1", key, ("X_Forwarded_For", CANARY)),
        await send_request(deployment, "GET", f"/stream/{customer.key}", "bytes=1", key),
    ]


async def test_no_secret_is_ever_written_down(limited_deployment: Deployment) -> None:
    customer = await limited_deployment.customer()
    good = token(claims(app=customer.app)).decode()
    responses = await provoke(limited_deployment, customer, good)
    assert [response.status for response in responses] == [200, 400, 400, 502, 502, 200, 200, 401, 401, 401, 400, 200]
    await limited_deployment.settled(6, customer.app)
    secrets = (CANARY, customer.key.split("_")[2], PEPPER, *good.split(".")[1:])
    written = {
        "log": limited_deployment.log.read_text(),
        "metrics": await exposition(limited_deployment),
        "events": json.dumps(await limited_deployment.events(customer.app), default=str),
        "responses": "".join(str(response.headers) + response.body.decode("latin-1") for response in responses),
    }
    for location, text in written.items():
        for secret in secrets:
            assert secret.lower() not in text.lower(), f"{secret} in {location}"
