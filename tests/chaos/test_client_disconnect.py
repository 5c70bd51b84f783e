"""Hazard: a client that disconnects. Work that nobody pays for, a gateway that works on for nobody, leaked sockets.

Each client disconnects at an exact position: the mock gateway waits there until it is gone.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import pytest_asyncio

from proxy.mock_gateway.record import Record
from tests.chaos.assertions import wait_until_settled
from tests.chaos.load import HELD, IMAGE, chat
from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.raw_http import RawConnection, chunk, request

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="module")]

EACH = 100
TOKENS = 8
EVENTS = TOKENS + 1
"""Events of a streamed response: one for each token, and one that says that it is finished."""
NOTHING: dict[str, int] = {}
WHOLE = {"requests": 1, "pixels": 64 * 64, "generations": 1}
"""Units of a whole request for an image: what was caused, whether its client waits or not."""

Disconnect = Callable[[RawConnection], Awaitable[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run one worker, so that what it opens and closes can be counted."""
    async with deployed(tmp_path_factory.mktemp("left"), {"log": {"requests": False}}) as deployment:
        yield deployment


async def close(connection: RawConnection) -> None:
    """Close the connection in order."""
    await connection.close()


async def reset(connection: RawConnection) -> None:
    """Reset the connection, with data unread."""
    connection.abort()


def either(number: int) -> Disconnect:
    """Return each way to disconnect in turn."""
    return reset if number % 2 else close


async def send_on_new_connections(deployment: Deployment, *pieces: bytes, count: int = EACH) -> list[RawConnection]:
    """Return new connections that have each sent the same request."""
    connections = [await RawConnection.open(deployment.address) for _ in range(count)]
    for connection in connections:
        for piece in pieces:
            await connection.send(piece)
    return connections


def post(customer: Customer, path: str, body: dict[str, object]) -> bytes:
    headers = [*customer.headers.items(), ("content-type", "application/json")]
    return request("POST", path, headers, json.dumps(body).encode())


async def stream(deployment: Deployment, customer: Customer, position: int | None, disconnect: Disconnect) -> None:
    """Request a streamed chat and disconnect after that many events, or (None) at its end."""
    [connection] = await send_on_new_connections(
        deployment,
        post(customer, "/llm", chat(TOKENS, 0, "" if position is None else f"hold=x,hold-at={position}")),
        count=1,
    )
    head = await connection.head()
    assert head.status == 200
    pieces, seen = connection.body(head), 0
    if position is None:
        seen = b"".join([piece async for piece in pieces]).count(b"data: ")
    else:
        while seen < position:
            seen += (await anext(pieces)).count(b"data: ")
    assert seen == (EVENTS if position is None else position)
    await disconnect(connection)


def requests_of(deployment: Deployment, customer: Customer) -> list[Record]:
    """Return what the gateway received of a customer."""
    return [record for record in deployment.gateway.requests if record.header("x-tollgate-app") == customer.app]


def sockets(deployment: Deployment) -> int:
    """Count the worker's sockets but those to the gateway, which are kept idle for the next request."""
    [worker] = deployment.workers()
    upstream = [
        each for each in worker.net_connections("tcp") if each.raddr and each.raddr.port == deployment.gateway.port
    ]
    assert {each.status for each in upstream} <= {psutil.CONN_ESTABLISHED}
    opened = Path(f"/proc/{worker.pid}/fd").iterdir()
    return sum(os.readlink(each).startswith("socket:") for each in opened) - len(upstream)


async def in_flight(deployment: Deployment) -> float:
    """Return the number of requests that are being served, by Tollgate's own metrics."""
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        text = (await client.get(deployment.private + "/metrics")).text
    return sum(float(value) for value in re.findall(r"^tollgate_requests_in_flight (\S+)$", text, re.MULTILINE))


async def check_nothing_leaked(deployment: Deployment, before: int) -> None:
    """Wait until no request is in flight, at Tollgate or the gateway, no hold is left, and no socket is new."""

    async def idle() -> bool:
        return await in_flight(deployment) == 0 and sockets(deployment) <= before

    await deployment.gateway.wait_for(finished=deployment.gateway.counters["seen"])
    await eventually(idle)
    await wait_until_settled(deployment)


def facts(event: dict[str, Any]) -> tuple[object, ...]:
    """Return what must be the same in every event of one kind."""
    units = {unit: number for unit, number in event["units"].items() if unit != "milliseconds"}
    return event["outcome"], units, event["finish_reason"]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("position", [0, 1, EVENTS // 2, EVENTS - 1, EVENTS, None])
async def test_in_a_stream(deployment: Deployment, position: int | None) -> None:
    """After the head, an event, half of them, all but the last, all of them but not the end, and the end."""
    before, customer = sockets(deployment), await deployment.customer()
    await asyncio.gather(*(stream(deployment, customer, position, either(number)) for number in range(EACH)))
    events = await deployment.settled(EACH, customer.app)
    read = EVENTS if position is None else position
    units = {"input_tokens": 1, "output_tokens": min(read, TOKENS)} if read else NOTHING
    outcome, finished = "complete" if position is None else "client_disconnect", read == EVENTS
    expected = (outcome, units | {"requests": 1} if finished else units, "stop" if finished else "")
    assert [facts(event) for event in events] == [expected] * EACH
    await check_nothing_leaked(deployment, before)
    ends = [(record.outcome, record.disconnected_at) for record in requests_of(deployment, customer)]
    assert ends == [("complete", None) if position is None else ("aborted", position)] * EACH
    where = "at the end" if position is None else f"after {position} of {EVENTS} events"
    print(f"disconnects {where}: {EACH} of {EACH} have one event, {outcome}, units {expected[1]}; nothing leaked")


async def test_before_there_is_a_response(deployment: Deployment) -> None:
    before, customer = sockets(deployment), await deployment.customer()
    connections = await send_on_new_connections(deployment, post(customer, "/text-to-image", HELD))
    await deployment.gateway.wait_for(held=EACH)
    await asyncio.gather(*(either(number)(connection) for number, connection in enumerate(connections)))
    events = await deployment.settled(EACH, customer.app)
    assert [facts(event) for event in events] == [("client_disconnect", WHOLE, "")] * EACH
    await check_nothing_leaked(deployment, before)
    assert [record.disconnected_at for record in requests_of(deployment, customer)] == [0] * EACH


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
async def test_during_an_upload(deployment: Deployment, chunked: bool) -> None:
    """Half a body is never taken for a whole one by the gateway."""
    before, customer = sockets(deployment), await deployment.customer()
    half = bytes(100_000)
    framing = ("transfer-encoding", "chunked") if chunked else ("content-length", "200000")
    headers = [*customer.headers.items(), ("content-type", "application/octet-stream"), framing]
    connections = await send_on_new_connections(
        deployment, request("POST", "/upscale", headers), chunk(half) if chunked else half
    )

    def arrived() -> bool:
        return [record.body_length for record in requests_of(deployment, customer)] == [len(half)] * EACH

    await eventually(arrived)
    await asyncio.gather(*(either(number)(connection) for number, connection in enumerate(connections)))
    events = await deployment.settled(EACH, customer.app)
    assert [facts(event) for event in events] == [("client_disconnect", NOTHING, "")] * EACH
    await check_nothing_leaked(deployment, before)
    ends = [(record.body_complete, record.outcome) for record in requests_of(deployment, customer)]
    assert ends == [(False, "aborted")] * EACH


async def test_before_anything_was_forwarded(deployment: Deployment) -> None:
    """A body that stops before its request was admitted leaves neither event nor hold."""
    before, customer = sockets(deployment), await deployment.customer()
    connections = await send_on_new_connections(deployment, post(customer, "/text-to-image", IMAGE)[:-10])

    async def all_served() -> bool:
        return await in_flight(deployment) == EACH

    await eventually(all_served)
    await asyncio.gather(*(either(number)(connection) for number, connection in enumerate(connections)))
    await check_nothing_leaked(deployment, before)
    assert await deployment.events(customer.app) == []
    assert requests_of(deployment, customer) == []


async def test_while_tollgate_waits_for_it_to_read(deployment: Deployment) -> None:
    before, customer = sockets(deployment), await deployment.customer()
    headers = [*customer.headers.items(), ("x-mock-gateway", "bytes=50000000")]
    connections = await send_on_new_connections(deployment, request("GET", "/stream/a.ts", headers), count=20)
    assert [(await connection.head()).status for connection in connections] == [200] * 20
    await asyncio.gather(*map(reset, connections))
    events = await deployment.settled(20, customer.app)
    assert {event["outcome"] for event in events} == {"client_disconnect"}
    await check_nothing_leaked(deployment, before)


async def test_half_closed(deployment: Deployment) -> None:
    """A client that closes its sending half counts as disconnected, as with servers in Go: both look the same."""
    before, customer = sockets(deployment), await deployment.customer()
    connections = await send_on_new_connections(deployment, post(customer, "/text-to-image", HELD))
    await deployment.gateway.wait_for(held=EACH)
    for connection in connections:
        connection.send_eof()
    assert {await connection.read_to_end() for connection in connections} == {b""}
    events = await deployment.settled(EACH, customer.app)
    assert [facts(event) for event in events] == [("client_disconnect", WHOLE, "")] * EACH
    await asyncio.gather(*map(close, connections))
    await check_nothing_leaked(deployment, before)
