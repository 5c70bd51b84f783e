"""Gateway responses that are late, broken or absent: clients learn the truth, and no request is sent twice."""

import asyncio
import contextlib
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.raw_http import RawConnection, Response, chunk, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

MIB = 1 << 20
PLAYBACK = ("GET", "/stream/a.ts")
SHORT_FIRST_BYTE = ("POST", "/process/request/a")
SHORT_IDLE = ("PUT", "/live/m/0.ts")
TIMEOUTS = {
    "byoc": {"connect": 60, "first_byte": 0.5, "idle": 60},
    "transcoding": {"connect": 60, "first_byte": 60, "idle": 0.5},
}


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run one worker with short timeouts on two routes."""
    async with deployed(tmp_path_factory.mktemp("responses"), {"routing": {"timeouts": TIMEOUTS}}) as deployment:
        yield deployment


def request_of(customer: Customer, behaviour: str, route: tuple[str, str] = PLAYBACK) -> bytes:
    return request(*route, [*customer.headers.items(), ("X-Mock-Gateway", behaviour)])


async def send(
    deployment: Deployment, customer: Customer, behaviour: str, route: tuple[str, str] = PLAYBACK
) -> Response:
    async with await RawConnection.open(deployment.address) as connection:
        return await connection.exchange(request_of(customer, behaviour, route))


def raw(text: bytes) -> str:
    return f"raw={urlsafe_b64encode(text).decode()}"


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        ("drop", 502, "gateway_dropped"),
        ("reset", 502, "gateway_dropped"),
        ("stall", 504, "gateway_timeout"),
        (raw(b"hello"), 502, "gateway_malformed"),
        (raw(b"HTTP/2.0 200 OK\r\n\r\n"), 502, "gateway_malformed"),
        (raw(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"), 502, "gateway_malformed"),
        (raw(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 502, "gateway_malformed"),
        (raw(OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 502, "gateway_malformed"),
        (raw(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 502, "gateway_malformed"),
        (raw(OK + b"X: a\r\n b\r\n\r\n"), 502, "gateway_malformed"),
        (raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"), 502, "gateway_malformed"),
        (raw(OK[:9]), 502, "gateway_truncated"),
    ],
)
async def test_a_response_that_is_none_is_reported_and_requested_once(
    deployment: Deployment, behaviour: str, status: int, code: str
) -> None:
    customer = await deployment.customer()
    response = await send(deployment, customer, behaviour, SHORT_FIRST_BYTE if behaviour == "stall" else PLAYBACK)
    assert (response.status, response.code) == (status, code)
    assert response.get("content-type") == "application/problem+json"
    await check_failed(deployment, customer, code, status)


async def check_failed(deployment: Deployment, customer: Customer, code: str, status: int) -> None:
    """Check that there is one event that costs nothing, one request at the gateway, and that its connection is gone."""
    [event] = await deployment.settled(1, customer.app)
    assert (event["outcome"], event["error"], event["status"]) == ("upstream_error", code, status)
    assert (event["units"], event["amount"]) == ({}, "0")
    await eventually(lambda: deployment.gateway.counters["in_flight"] == 0)
    assert len(deployment.forwarded(customer.app)) == 1


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ("bytes=300000,drop-after-bytes=200000", "gateway_truncated"),
        ("bytes=300000,chunked,drop-after-bytes=200000", "gateway_truncated"),
        ("bytes=300000,chunks=3,hold-at=2,stall", "gateway_stalled"),
        (
            raw(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0x3\r\nabc\r\n0\r\n\r\n") + ",chunks=9",
            "gateway_malformed",
        ),
        (raw(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\nabcdef\r\n") + ",chunks=9", "gateway_malformed"),
    ],
)
async def test_a_response_that_breaks_off_never_looks_whole(deployment: Deployment, behaviour: str, code: str) -> None:
    customer = await deployment.customer()
    async with await RawConnection.open(deployment.address) as connection:
        await connection.send(request_of(customer, behaviour, SHORT_IDLE if "stall" in behaviour else PLAYBACK))
        head = await connection.head()
        if head.status != 200:  # the fault came so soon that there was no response yet
            assert head.status == 502
        else:
            with pytest.raises((EOFError, ConnectionError)):
                async for _ in connection.body(head):
                    pass
    await check_failed(deployment, customer, code, head.status)


async def test_a_response_before_the_end_of_the_upload_arrives(deployment: Deployment) -> None:
    customer = await deployment.customer()
    head = request_of(customer, "early,status=403", ("POST", "/upscale"))
    async with await RawConnection.open(deployment.address) as connection:
        await connection.send(head.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n") + chunk(b"x" * MIB))
        response = await connection.response()
    assert response.status == 403
    [event] = await deployment.settled(1, customer.app)
    assert (event["status"], event["outcome"]) == (403, "complete")


async def test_interim_responses_of_the_gateway_are_its_own_business(deployment: Deployment) -> None:
    customer = await deployment.customer()
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    response = await send(deployment, customer, raw(interim + OK + b"Content-Length: 2\r\n\r\nok") + ",chunks=20")
    assert (response.status, response.body, response.get("link")) == (200, b"ok", None)


async def test_a_response_without_end_stops_with_its_client_and_fills_no_memory(deployment: Deployment) -> None:
    """Of 10 GB the gateway can send no more than the client takes."""
    customer = await deployment.customer()
    [worker] = deployment.workers()
    before = worker.memory_info().rss
    for _ in range(3):
        async with await RawConnection.open(deployment.address) as connection:
            await connection.send(request_of(customer, "bytes=10000000000"))
            head = await connection.head()
            read = 0
            async for piece in connection.body(head):
                read += len(piece)
                if read > 20 * MIB:
                    break
            connection.abort()
    await eventually(lambda: deployment.gateway.counters["in_flight"] == 0)
    records = deployment.forwarded(customer.app)
    assert [each.outcome for each in records] == ["aborted"] * 3
    assert all(20 * MIB < each.bytes_sent < 60 * MIB for each in records)
    assert worker.memory_info().rss - before < 30 * MIB
    events = await deployment.settled(3, customer.app)
    assert {event["outcome"] for event in events} == {"client_disconnect"}
    assert all(20 * MIB < event["bytes_out"] < 60 * MIB for event in events)


@pytest.mark.ci
async def test_a_client_that_does_not_read_is_not_read_for(deployment: Deployment) -> None:
    customer = await deployment.customer()
    [worker] = deployment.workers()
    before = worker.memory_info().rss
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            connection = await stack.enter_async_context(await RawConnection.open(deployment.address))
            await connection.send(request_of(customer, "bytes=1000000000"))
        sent = -1

        async def is_stuck() -> bool:
            nonlocal sent
            former, sent = sent, sum(each.bytes_sent for each in deployment.forwarded(customer.app))
            await asyncio.sleep(0.1)
            return 0 < sent == former

        await eventually(is_stuck)
        assert sent < 20 * 20 * MIB
        assert worker.memory_info().rss - before < 60 * MIB
    await eventually(lambda: deployment.gateway.counters["in_flight"] == 0)
    await deployment.settled(20, customer.app)
