"""Gateways that fail in every way there is: the client is told the truth, nothing is sent twice, memory stays flat."""

import asyncio
import contextlib
import socket
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Self

import pytest
import pytest_asyncio

from proxy.standin import Standin
from proxy.standin.record import Record
from tests.store.servers import free_port
from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.wire import Answer, Wire, chunk, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

MIB = 1 << 20
PATIENT: dict[str, Any] = {"health": {"failures": 1_000}}
NEVER_BACK: dict[str, Any] = {"health": {"failures": 2, "ejection_seconds": 3_600}}
SOON_BACK: dict[str, Any] = {"health": {"failures": 2, "ejection_seconds": 0.2}}


class Dropping:
    """A gateway that takes every request and drops it."""

    def __init__(self) -> None:
        self.requests = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._drop, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _drop(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, OSError):
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
        writer.close()


@dataclass
class Place:
    """A gate with one worker and a pool for each kind of trouble; the plan of a customer names the pool."""

    gate: Deployment
    first: Standin
    second: Standin
    dropping: dict[str, Dropping]

    async def customer(self, pool: str = "one") -> Customer:
        return await self.gate.customer(pool)


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """An address that answers no connection attempt: the queue of its listener is full and never emptied."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    dropping = {"ejecting": Dropping(), "forgiving": Dropping()}
    async with Standin() as first, Standin() as second, dropping["ejecting"], dropping["forgiving"]:
        with black_hole() as hole:
            closed = f"http://127.0.0.1:{free_port()}"
            pools = {
                "one": ([first.url], PATIENT),
                "refusing": ([closed], PATIENT),
                "silent": ([hole], PATIENT),
                "half": ([closed, second.url], PATIENT),
                "both": ([first.url, second.url], PATIENT),
                "ejecting": ([dropping["ejecting"].url, second.url], NEVER_BACK),
                "forgiving": ([dropping["forgiving"].url, second.url], SOON_BACK),
                "gone": ([f"http://127.0.0.1:{free_port()}"], NEVER_BACK),
            }
            config = {
                "routing": {
                    "pools": {
                        name: {"gateways": [{"url": url} for url in urls], **health}
                        for name, (urls, health) in pools.items()
                    },
                    "rules": [{"tier": name, "pool": name} for name in pools],
                    "timeouts": {
                        "byoc": {"connect": 0.3, "first_byte": 0.5, "idle": 60},
                        "transcoding": {"connect": 60, "first_byte": 60, "idle": 0.5},
                    },
                },
                "plans": {name: {"tier": name} for name in pools},
            }
            async with deployed(tmp_path_factory.mktemp("trouble"), config) as gate:
                yield Place(gate, first, second, dropping)


PLAYBACK = ("GET", "/stream/a.ts")
IMPATIENT_WITH_CONNECTING_AND_HEADS = ("POST", "/process/request/a")
IMPATIENT_WITH_BODIES = ("PUT", "/live/m/0.ts")


def asked(customer: Customer, told: str, route: tuple[str, str] = PLAYBACK, body: bytes | None = None) -> bytes:
    return request(*route, [*customer.headers.items(), ("X-Standin", told)], body)


async def ask(
    place: Place, customer: Customer, told: str, route: tuple[str, str] = PLAYBACK, body: bytes | None = None
) -> Answer:
    async with await Wire.open(place.gate.address) as wire:
        return await wire.ask(asked(customer, told, route, body))


def raw(text: bytes) -> str:
    return f"raw={urlsafe_b64encode(text).decode()}"


def seen(gateway: Standin, customer: Customer) -> list[Record]:
    return [each for each in gateway.requests if each.header("x-tollgate-app") == customer.app]


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
    place: Place, told: str, status: int, code: str
) -> None:
    customer = await place.customer()
    answer = await ask(place, customer, told, IMPATIENT_WITH_CONNECTING_AND_HEADS if told == "stall" else PLAYBACK)
    assert (answer.status, answer.code) == (status, code)
    assert answer.get("content-type") == "application/problem+json"
    await check_failed(place, customer, code, status)


async def check_failed(place: Place, customer: Customer, code: str, status: int) -> None:
    """One event that costs nothing, one request at the gateway, and its connection is gone."""
    [event] = await place.gate.settled(1, customer.app)
    assert (event["outcome"], event["error"], event["status"]) == ("upstream_error", code, status)
    assert (event["units"], event["amount"]) == ({}, "0")
    await eventually(lambda: place.first.counters["in_flight"] == 0)
    assert len(seen(place.first, customer)) == 1


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
async def test_an_answer_that_breaks_off_never_looks_whole(place: Place, told: str, code: str) -> None:
    customer = await place.customer()
    async with await Wire.open(place.gate.address) as wire:
        await wire.send(asked(customer, told, IMPATIENT_WITH_BODIES if "stall" in told else PLAYBACK))
        head = await wire.head()
        if head.status != 200:  # the fault came so soon that there was no answer yet
            assert head.status == 502
        else:
            with pytest.raises((EOFError, ConnectionError)):
                async for _ in wire.body(head):
                    pass
    await check_failed(place, customer, code, head.status)


@pytest.mark.parametrize(
    ("pool", "status", "code"), [("refusing", 502, "gateway_unreachable"), ("silent", 504, "gateway_connect_timeout")]
)
async def test_a_gateway_that_takes_no_connection_costs_nothing(
    place: Place, pool: str, status: int, code: str
) -> None:
    customer = await place.customer(pool)
    for _ in range(3):
        answer = await ask(place, customer, "bytes=1", IMPATIENT_WITH_CONNECTING_AND_HEADS)
        assert (answer.status, answer.code) == (status, code)
    assert await place.gate.events(customer.app) == [], "nothing was sent, so there is nothing to record"


async def test_an_answer_before_the_end_of_the_upload_arrives(place: Place) -> None:
    customer = await place.customer()
    head = asked(customer, "early,status=403", ("POST", "/upscale"))
    async with await Wire.open(place.gate.address) as wire:
        await wire.send(head.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n") + chunk(b"x" * MIB))
        answer = await wire.answer()
    assert answer.status == 403
    [event] = await place.gate.settled(1, customer.app)
    assert (event["status"], event["outcome"]) == (403, "complete")


async def test_interim_answers_of_the_gateway_are_its_own_business(place: Place) -> None:
    customer = await place.customer()
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    answer = await ask(place, customer, raw(interim + OK + b"Content-Length: 2\r\n\r\nok") + ",chunks=20")
    assert (answer.status, answer.body, answer.get("link")) == (200, b"ok", None)


async def test_an_answer_without_end_stops_with_its_client_and_fills_no_memory(place: Place) -> None:
    """The gateway would send 10 GB; it gets rid of what the client takes, and no more."""
    customer = await place.customer()
    [worker] = place.gate.workers()
    before = worker.memory_info().rss
    for _ in range(3):
        async with await Wire.open(place.gate.address) as wire:
            await wire.send(asked(customer, "bytes=10000000000"))
            head = await wire.head()
            read = 0
            async for piece in wire.body(head):
                read += len(piece)
                if read > 20 * MIB:
                    break
            wire.leave()
    await eventually(lambda: place.first.counters["in_flight"] == 0)
    records = seen(place.first, customer)
    assert [each.outcome for each in records] == ["aborted"] * 3
    assert all(20 * MIB < each.bytes_sent < 60 * MIB for each in records)
    assert worker.memory_info().rss - before < 30 * MIB
    events = await place.gate.settled(3, customer.app)
    assert {event["outcome"] for event in events} == {"client_disconnect"}
    assert all(20 * MIB < event["bytes_out"] < 60 * MIB for event in events)


async def test_a_client_that_does_not_read_is_not_read_for(place: Place) -> None:
    customer = await place.customer()
    [worker] = place.gate.workers()
    before = worker.memory_info().rss
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            wire = await stack.enter_async_context(await Wire.open(place.gate.address))
            await wire.send(asked(customer, "bytes=1000000000"))
        sent = -1

        async def is_stuck() -> bool:
            nonlocal sent
            former, sent = sent, sum(each.bytes_sent for each in seen(place.first, customer))
            await asyncio.sleep(0.1)
            return 0 < sent == former

        await eventually(is_stuck)
        assert sent < 20 * 20 * MIB
        assert worker.memory_info().rss - before < 60 * MIB
    await eventually(lambda: place.first.counters["in_flight"] == 0)
    await place.gate.settled(20, customer.app)


async def test_the_next_gateway_is_tried_only_while_nothing_was_sent(place: Place) -> None:
    customer = await place.customer("half")
    for _ in range(4):
        assert (await ask(place, customer, "bytes=1")).status == 200
    events = await place.gate.settled(4, customer.app)
    assert {event["gateway"] for event in events} == {place.second.url}

    customer = await place.customer("both")
    for _ in range(4):
        answer = await ask(place, customer, "drop")
        assert (answer.status, answer.code) == (502, "gateway_dropped")
    await place.gate.settled(4, customer.app)
    asked_of = [len(seen(gateway, customer)) for gateway in (place.first, place.second)]
    assert sum(asked_of) == 4, "a request that was dropped is not tried on another gateway"
    assert asked_of == [2, 2], "equally busy gateways take turns"


async def test_a_body_is_sent_to_the_next_gateway_whole(place: Place) -> None:
    """It has not been read when the first gateway refuses the connection."""
    customer = await place.customer("half")
    body = bytes(range(256)) * 4_000
    for _ in range(4):
        answer = await ask(place, customer, "echo", ("POST", "/upscale"), body)
        assert (answer.status, answer.body == body) == (200, True)


async def test_a_failing_gateway_is_left_alone(place: Place) -> None:
    customer = await place.customer("ejecting")
    statuses = [(await ask(place, customer, "bytes=1")).status for _ in range(14)]
    assert place.dropping["ejecting"].requests == 2
    assert sorted(statuses) == [200] * 12 + [502] * 2
    assert statuses[4:] == [200] * 10


async def test_a_gateway_that_was_left_alone_gets_another_chance(place: Place) -> None:
    customer = await place.customer("forgiving")

    async def is_tried_again() -> bool:
        await ask(place, customer, "bytes=1")
        return place.dropping["forgiving"].requests > 2

    await eventually(is_tried_again)
    statuses = [(await ask(place, customer, "bytes=1")).status for _ in range(4)]
    assert 200 in statuses


async def test_with_every_gateway_ejected_the_least_bad_is_still_tried(place: Place) -> None:
    """An ejection is a guess; a refusal would be certain."""
    customer = await place.customer("gone")
    for _ in range(5):
        answer = await ask(place, customer, "bytes=1")
        assert (answer.status, answer.code) == (502, "gateway_unreachable")
    assert await place.gate.events(customer.app) == []
