"""A gateway whose answers are late, broken or none: the client is told the truth, and nothing is asked for twice."""

import asyncio
import contextlib
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.wire import Answer, Wire, chunk, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

MIB = 1 << 20
PLAYBACK = ("GET", "/stream/a.ts")
IMPATIENT_WITH_HEADS = ("POST", "/process/request/a")
IMPATIENT_WITH_BODIES = ("PUT", "/live/m/0.ts")
TIMEOUTS = {
    "byoc": {"connect": 60, "first_byte": 0.5, "idle": 60},
    "transcoding": {"connect": 60, "first_byte": 60, "idle": 0.5},
}


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def trouble(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """A gate with one worker, and little patience on two routes."""
    async with deployed(tmp_path_factory.mktemp("trouble"), {"routing": {"timeouts": TIMEOUTS}}) as gate:
        yield gate


def asked(customer: Customer, told: str, route: tuple[str, str] = PLAYBACK) -> bytes:
    return request(*route, [*customer.headers.items(), ("X-Mock-Gateway", told)])


async def ask(gate: Deployment, customer: Customer, told: str, route: tuple[str, str] = PLAYBACK) -> Answer:
    async with await Wire.open(gate.address) as wire:
        return await wire.ask(asked(customer, told, route))


def raw(text: bytes) -> str:
    return f"raw={urlsafe_b64encode(text).decode()}"


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("told", "status", "code"),
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
async def test_an_answer_that_is_none_is_told_so_and_asked_for_once(
    trouble: Deployment, told: str, status: int, code: str
) -> None:
    customer = await trouble.customer()
    answer = await ask(trouble, customer, told, IMPATIENT_WITH_HEADS if told == "stall" else PLAYBACK)
    assert (answer.status, answer.code) == (status, code)
    assert answer.get("content-type") == "application/problem+json"
    await check_failed(trouble, customer, code, status)


async def check_failed(trouble: Deployment, customer: Customer, code: str, status: int) -> None:
    """One event that costs nothing, one request at the gateway, and its connection is gone."""
    [event] = await trouble.settled(1, customer.app)
    assert (event["outcome"], event["error"], event["status"]) == ("upstream_error", code, status)
    assert (event["units"], event["amount"]) == ({}, "0")
    await eventually(lambda: trouble.gateway.counters["in_flight"] == 0)
    assert len(trouble.heard(customer.app)) == 1


@pytest.mark.parametrize(
    ("told", "code"),
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
async def test_an_answer_that_breaks_off_never_looks_whole(trouble: Deployment, told: str, code: str) -> None:
    customer = await trouble.customer()
    async with await Wire.open(trouble.address) as wire:
        await wire.send(asked(customer, told, IMPATIENT_WITH_BODIES if "stall" in told else PLAYBACK))
        head = await wire.head()
        if head.status != 200:  # the fault came so soon that there was no answer yet
            assert head.status == 502
        else:
            with pytest.raises((EOFError, ConnectionError)):
                async for _ in wire.body(head):
                    pass
    await check_failed(trouble, customer, code, head.status)


async def test_an_answer_before_the_end_of_the_upload_arrives(trouble: Deployment) -> None:
    customer = await trouble.customer()
    head = asked(customer, "early,status=403", ("POST", "/upscale"))
    async with await Wire.open(trouble.address) as wire:
        await wire.send(head.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n") + chunk(b"x" * MIB))
        answer = await wire.answer()
    assert answer.status == 403
    [event] = await trouble.settled(1, customer.app)
    assert (event["status"], event["outcome"]) == (403, "complete")


async def test_interim_answers_of_the_gateway_are_its_own_business(trouble: Deployment) -> None:
    customer = await trouble.customer()
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    answer = await ask(trouble, customer, raw(interim + OK + b"Content-Length: 2\r\n\r\nok") + ",chunks=20")
    assert (answer.status, answer.body, answer.get("link")) == (200, b"ok", None)


async def test_an_answer_without_end_stops_with_its_client_and_fills_no_memory(trouble: Deployment) -> None:
    """The gateway would send 10 GB; it gets rid of what the client takes, and no more."""
    customer = await trouble.customer()
    [worker] = trouble.workers()
    before = worker.memory_info().rss
    for _ in range(3):
        async with await Wire.open(trouble.address) as wire:
            await wire.send(asked(customer, "bytes=10000000000"))
            head = await wire.head()
            read = 0
            async for piece in wire.body(head):
                read += len(piece)
                if read > 20 * MIB:
                    break
            wire.leave()
    await eventually(lambda: trouble.gateway.counters["in_flight"] == 0)
    records = trouble.heard(customer.app)
    assert [each.outcome for each in records] == ["aborted"] * 3
    assert all(20 * MIB < each.bytes_sent < 60 * MIB for each in records)
    assert worker.memory_info().rss - before < 30 * MIB
    events = await trouble.settled(3, customer.app)
    assert {event["outcome"] for event in events} == {"client_disconnect"}
    assert all(20 * MIB < event["bytes_out"] < 60 * MIB for event in events)


async def test_a_client_that_does_not_read_is_not_read_for(trouble: Deployment) -> None:
    customer = await trouble.customer()
    [worker] = trouble.workers()
    before = worker.memory_info().rss
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            wire = await stack.enter_async_context(await Wire.open(trouble.address))
            await wire.send(asked(customer, "bytes=1000000000"))
        sent = -1

        async def is_stuck() -> bool:
            nonlocal sent
            former, sent = sent, sum(each.bytes_sent for each in trouble.heard(customer.app))
            await asyncio.sleep(0.1)
            return 0 < sent == former

        await eventually(is_stuck)
        assert sent < 20 * 20 * MIB
        assert worker.memory_info().rss - before < 60 * MIB
    await eventually(lambda: trouble.gateway.counters["in_flight"] == 0)
    await trouble.settled(20, customer.app)
