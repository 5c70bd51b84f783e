"""Gateways that cannot be reached or keep failing: another one is asked where that is safe, and only there."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Self

import pytest
import pytest_asyncio

from proxy.mock_gateway import MockGateway
from tests.store.servers import free_port
from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.wire import Answer, Wire, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

PATIENT: dict[str, Any] = {"health": {"failures": 1_000}}
NEVER_BACK: dict[str, Any] = {"health": {"failures": 2, "ejection_seconds": 3_600}}
SOON_BACK: dict[str, Any] = {"health": {"failures": 2, "ejection_seconds": 0.2}}
PLAYBACK = ("GET", "/stream/a.ts")
IMPATIENT_WITH_CONNECTING = ("POST", "/process/request/a")


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
    first: MockGateway
    second: MockGateway
    dropping: dict[str, Dropping]


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
    async with MockGateway() as first, MockGateway() as second, dropping["ejecting"], dropping["forgiving"]:
        with black_hole() as hole:
            closed = f"http://127.0.0.1:{free_port()}"
            pools = {
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
                    "timeouts": {"byoc": {"connect": 0.3}},
                },
                "plans": {name: {"tier": name} for name in pools},
            }
            async with deployed(tmp_path_factory.mktemp("trouble"), config) as gate:
                yield Place(gate, first, second, dropping)


async def ask(
    place: Place, customer: Customer, told: str, route: tuple[str, str] = PLAYBACK, body: bytes | None = None
) -> Answer:
    async with await Wire.open(place.gate.address) as wire:
        return await wire.ask(request(*route, [*customer.headers.items(), ("X-Mock-Gateway", told)], body))


@pytest.mark.parametrize(
    ("pool", "status", "code"), [("refusing", 502, "gateway_unreachable"), ("silent", 504, "gateway_connect_timeout")]
)
async def test_a_gateway_that_takes_no_connection_costs_nothing(
    place: Place, pool: str, status: int, code: str
) -> None:
    customer = await place.gate.customer(pool)
    for _ in range(3):
        answer = await ask(place, customer, "bytes=1", IMPATIENT_WITH_CONNECTING)
        assert (answer.status, answer.code) == (status, code)
    assert await place.gate.events(customer.app) == [], "nothing was sent, so there is nothing to record"


async def test_the_next_gateway_is_tried_only_while_nothing_was_sent(place: Place) -> None:
    customer = await place.gate.customer("half")
    for _ in range(4):
        assert (await ask(place, customer, "bytes=1")).status == 200
    events = await place.gate.settled(4, customer.app)
    assert {event["gateway"] for event in events} == {place.second.url}

    customer = await place.gate.customer("both")
    for _ in range(4):
        answer = await ask(place, customer, "drop")
        assert (answer.status, answer.code) == (502, "gateway_dropped")
    await place.gate.settled(4, customer.app)
    asked_of = [
        sum(each.header("x-tollgate-app") == customer.app for each in gateway.requests)
        for gateway in (place.first, place.second)
    ]
    assert sum(asked_of) == 4, "a request that was dropped is not tried on another gateway"
    assert asked_of == [2, 2], "equally busy gateways take turns"


async def test_a_body_is_sent_to_the_next_gateway_whole(place: Place) -> None:
    """It has not been read when the first gateway refuses the connection."""
    customer = await place.gate.customer("half")
    body = bytes(range(256)) * 4_000
    for _ in range(4):
        answer = await ask(place, customer, "echo", ("POST", "/upscale"), body)
        assert (answer.status, answer.body == body) == (200, True)


async def test_a_failing_gateway_is_left_alone(place: Place) -> None:
    customer = await place.gate.customer("ejecting")
    statuses = [(await ask(place, customer, "bytes=1")).status for _ in range(14)]
    assert place.dropping["ejecting"].requests == 2
    assert sorted(statuses) == [200] * 12 + [502] * 2
    assert statuses[4:] == [200] * 10


async def test_a_gateway_that_was_left_alone_gets_another_chance(place: Place) -> None:
    customer = await place.gate.customer("forgiving")

    async def is_tried_again() -> bool:
        await ask(place, customer, "bytes=1")
        return place.dropping["forgiving"].requests > 2

    await eventually(is_tried_again)
    statuses = [(await ask(place, customer, "bytes=1")).status for _ in range(4)]
    assert 200 in statuses


async def test_with_every_gateway_ejected_the_least_bad_is_still_tried(place: Place) -> None:
    """An ejection is a guess; a refusal would be certain."""
    customer = await place.gate.customer("gone")
    for _ in range(5):
        answer = await ask(place, customer, "bytes=1")
        assert (answer.status, answer.code) == (502, "gateway_unreachable")
    assert await place.gate.events(customer.app) == []
