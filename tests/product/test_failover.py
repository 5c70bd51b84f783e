"""Gateways that cannot be reached or keep failing: another one is tried where that is safe, and only there."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Self

import httpx
import pytest
import pytest_asyncio

from proxy.mock_gateway import MockGateway
from tests.store.servers import free_port
from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.raw_http import RawConnection, Response, request

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]

NEVER_EJECTED: dict[str, Any] = {"health": {"failures": 1_000}}
NEVER_BACK: dict[str, Any] = {"health": {"failures": 2, "ejection_seconds": 3_600}}
SOON_BACK: dict[str, Any] = {"health": {"failures": 2, "ejection_seconds": 0.2}}
PLAYBACK = ("GET", "/stream/a.ts")
SHORT_CONNECT = ("POST", "/process/request/a")


class Dropping:
    """Gateway that takes every request and drops it, probes as well, until it is `repaired`."""

    def __init__(self) -> None:
        self.requests = 0
        """Requests that were no probes."""
        self.repaired = False
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
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests += not head.startswith(b"GET /healthz ")
            if self.repaired:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()


@dataclass
class FailoverTestbed:
    """One worker with a pool for each kind of trouble; the plan of a customer names the pool."""

    deployment: Deployment
    first: MockGateway
    second: MockGateway
    dropping: dict[str, Dropping]


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """Yield an origin that accepts no connection: the queue of its listener is full and never emptied."""
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
async def testbed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FailoverTestbed]:
    dropping = {"ejecting": Dropping(), "forgiving": Dropping()}
    async with MockGateway() as first, MockGateway() as second, dropping["ejecting"], dropping["forgiving"]:
        with black_hole() as hole:
            closed = f"http://127.0.0.1:{free_port()}"
            pools = {
                "refusing": ([closed], NEVER_EJECTED),
                "silent": ([hole], NEVER_EJECTED),
                "half": ([closed, second.url], NEVER_EJECTED),
                "both": ([first.url, second.url], NEVER_EJECTED),
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
            async with deployed(tmp_path_factory.mktemp("failover"), config) as deployment:
                yield FailoverTestbed(deployment, first, second, dropping)


async def send_request(
    testbed: FailoverTestbed,
    customer: Customer,
    behaviour: str,
    route: tuple[str, str] = PLAYBACK,
    body: bytes | None = None,
) -> Response:
    async with await RawConnection.open(testbed.deployment.address) as connection:
        return await connection.exchange(
            request(*route, [*customer.headers.items(), ("X-Mock-Gateway", behaviour)], body)
        )


@pytest.mark.parametrize(
    ("pool", "status", "code"), [("refusing", 502, "gateway_unreachable"), ("silent", 504, "gateway_connect_timeout")]
)
async def test_a_gateway_that_takes_no_connection_costs_nothing(
    testbed: FailoverTestbed, pool: str, status: int, code: str
) -> None:
    customer = await testbed.deployment.customer(pool)
    for _ in range(3):
        response = await send_request(testbed, customer, "bytes=1", SHORT_CONNECT)
        assert (response.status, response.code) == (status, code)
    assert await testbed.deployment.events(customer.app) == [], "nothing was sent, so there is nothing to record"


async def test_the_next_gateway_is_tried_only_while_nothing_was_sent(testbed: FailoverTestbed) -> None:
    customer = await testbed.deployment.customer("half")
    for _ in range(4):
        assert (await send_request(testbed, customer, "bytes=1")).status == 200
    events = await testbed.deployment.settled(4, customer.app)
    assert {event["gateway"] for event in events} == {testbed.second.url}

    customer = await testbed.deployment.customer("both")
    for _ in range(4):
        response = await send_request(testbed, customer, "drop")
        assert (response.status, response.code) == (502, "gateway_dropped")
    await testbed.deployment.settled(4, customer.app)
    received = [
        sum(each.header("x-tollgate-app") == customer.app for each in gateway.requests)
        for gateway in (testbed.first, testbed.second)
    ]
    assert sum(received) == 4, "a request that was dropped is not tried on another gateway"
    assert received == [2, 2], "equally busy gateways take turns"


async def test_a_body_is_sent_to_the_next_gateway_whole(testbed: FailoverTestbed) -> None:
    """The body has not been read when the first gateway refuses the connection."""
    customer = await testbed.deployment.customer("half")
    body = bytes(range(256)) * 4_000
    for _ in range(4):
        response = await send_request(testbed, customer, "echo", ("POST", "/upscale"), body)
        assert (response.status, response.body == body) == (200, True)


async def test_a_failing_gateway_is_left_alone(testbed: FailoverTestbed) -> None:
    """It drops its probes as well."""
    customer = await testbed.deployment.customer("ejecting")
    statuses = [(await send_request(testbed, customer, "bytes=1")).status for _ in range(14)]
    assert testbed.dropping["ejecting"].requests in (1, 2)
    assert statuses.count(502) == testbed.dropping["ejecting"].requests
    assert statuses[4:] == [200] * 10


async def test_a_gateway_that_was_left_alone_is_back_without_traffic(testbed: FailoverTestbed) -> None:
    customer = await testbed.deployment.customer("forgiving")
    gateway = testbed.dropping["forgiving"]
    for _ in range(6):
        await send_request(testbed, customer, "bytes=1")

    async def left_alone() -> bool:
        return not await gateway_up(testbed, gateway.url)

    await eventually(left_alone)  # it is asked first whether it lives
    gateway.repaired = True
    await eventually(lambda: gateway_up(testbed, gateway.url))
    dropped = gateway.requests

    async def gets_new_work() -> bool:
        assert (await send_request(testbed, customer, "bytes=1")).status == 200
        return gateway.requests > dropped

    await eventually(gets_new_work)  # its last drop counts as work for a second


async def gateway_up(testbed: FailoverTestbed, url: str) -> bool:
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"{testbed.deployment.private}/metrics")).text
    return f'tollgate_gateway_up{{gateway="{url}"}} 1.0' in text


async def test_with_every_gateway_ejected_the_least_bad_is_still_tried(testbed: FailoverTestbed) -> None:
    """An ejection is a guess; a refusal would be certain."""
    customer = await testbed.deployment.customer("gone")
    for _ in range(5):
        response = await send_request(testbed, customer, "bytes=1")
        assert (response.status, response.code) == (502, "gateway_unreachable")
    assert await testbed.deployment.events(customer.app) == []
