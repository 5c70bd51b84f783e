"""Hazard: a client that leaves. Work that nobody pays for, a gateway that works on for nobody, leaked sockets.

Each request is left at an exact place: the stand-in waits there until the client is gone.
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
from tests.chaos.assertions import quiet
from tests.chaos.load import HELD, IMAGE, chat
from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.wire import Wire, chunk, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

EACH = 100
TOKENS = 8
EVENTS = TOKENS + 1
"""A streamed answer has one event for each token, and one that says that it is finished."""
NOTHING: dict[str, int] = {}

Leave = Callable[[Wire], Awaitable[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """A gate of one worker, so that what it opens and closes can be counted."""
    async with deployed(tmp_path_factory.mktemp("left"), {"log": {"requests": False}}) as deployment:
        yield deployment


async def hang_up(wire: Wire) -> None:
    """Close the connection in order."""
    await wire.close()


async def vanish(wire: Wire) -> None:
    """Close the connection by a reset, with data unread."""
    wire.leave()


def either(number: int) -> Leave:
    """Each way of leaving in turn."""
    return vanish if number % 2 else hang_up


async def ask(gate: Deployment, *pieces: bytes, count: int = EACH) -> list[Wire]:
    """Connections that have each sent the same request."""
    wires = [await Wire.open(gate.address) for _ in range(count)]
    for wire in wires:
        for piece in pieces:
            await wire.send(piece)
    return wires


def post(customer: Customer, path: str, body: dict[str, object]) -> bytes:
    fields = [*customer.headers.items(), ("content-type", "application/json")]
    return request("POST", path, fields, json.dumps(body).encode())


async def stream(gate: Deployment, customer: Customer, place: int | None, leave: Leave) -> None:
    """Ask for a streamed chat and leave after that many events, or (None) at its end."""
    [wire] = await ask(
        gate, post(customer, "/llm", chat(TOKENS, 0, "" if place is None else f"hold=x,hold-at={place}")), count=1
    )
    head = await wire.head()
    assert head.status == 200
    pieces, seen = wire.body(head), 0
    if place is None:
        seen = b"".join([piece async for piece in pieces]).count(b"data: ")
    else:
        while seen < place:
            seen += (await anext(pieces)).count(b"data: ")
    assert seen == (EVENTS if place is None else place)
    await leave(wire)


def requests_of(gate: Deployment, customer: Customer) -> list[Record]:
    """What the gateway saw of a customer."""
    return [record for record in gate.gateway.requests if record.header("x-tollgate-app") == customer.app]


def sockets(gate: Deployment) -> int:
    """Sockets of the worker, its connections to the gateway excepted: idle ones are kept for the next request."""
    [worker] = gate.workers()
    upstream = [each for each in worker.net_connections("tcp") if each.raddr and each.raddr.port == gate.gateway.port]
    assert {each.status for each in upstream} <= {psutil.CONN_ESTABLISHED}
    opened = Path(f"/proc/{worker.pid}/fd").iterdir()
    return sum(os.readlink(each).startswith("socket:") for each in opened) - len(upstream)


async def in_flight(gate: Deployment) -> float:
    """Requests that are being served, as the gate's own metrics say."""
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        text = (await client.get(gate.private + "/metrics")).text
    return sum(float(value) for value in re.findall(r"^tollgate_requests_in_flight (\S+)$", text, re.MULTILINE))


async def nothing_leaked(gate: Deployment, before: int) -> None:
    """No request is in flight, in the gate or behind it, nothing is held, and no socket is open that was not before."""

    async def so() -> bool:
        return await in_flight(gate) == 0 and sockets(gate) <= before

    await gate.gateway.wait_for(finished=gate.gateway.counters["seen"])
    await eventually(so)
    await quiet(gate)


def facts(event: dict[str, Any]) -> tuple[object, ...]:
    """What must be the same in every event of one kind."""
    units = {unit: number for unit, number in event["units"].items() if unit != "milliseconds"}
    return event["outcome"], units, event["finish_reason"]


@pytest.mark.parametrize("place", [0, 1, EVENTS // 2, EVENTS - 1, EVENTS, None])
async def test_in_a_stream(gate: Deployment, place: int | None) -> None:
    """After the head, an event, half of them, all but the last, all of them but not the end, and the end."""
    before, customer = sockets(gate), await gate.customer()
    await asyncio.gather(*(stream(gate, customer, place, either(number)) for number in range(EACH)))
    events = await gate.settled(EACH, customer.app)
    read = EVENTS if place is None else place
    units = {"input_tokens": 1, "output_tokens": min(read, TOKENS)} if read else NOTHING
    outcome, finished = "complete" if place is None else "client_disconnect", read == EVENTS
    expected = (outcome, units | {"requests": 1} if finished else units, "stop" if finished else "")
    assert [facts(event) for event in events] == [expected] * EACH
    await nothing_leaked(gate, before)
    ends = [(record.outcome, record.disconnected_at) for record in requests_of(gate, customer)]
    assert ends == [("complete", None) if place is None else ("aborted", place)] * EACH
    where = "at the end" if place is None else f"after {place} of {EVENTS} events"
    print(f"disconnects {where}: {EACH} of {EACH} have one event, {outcome}, units {expected[1]}; nothing leaked")


async def test_before_there_is_an_answer(gate: Deployment) -> None:
    before, customer = sockets(gate), await gate.customer()
    wires = await ask(gate, post(customer, "/text-to-image", HELD))
    await gate.gateway.wait_for(held=EACH)
    await asyncio.gather(*(either(number)(wire) for number, wire in enumerate(wires)))
    events = await gate.settled(EACH, customer.app)
    assert [facts(event) for event in events] == [("client_disconnect", NOTHING, "")] * EACH
    await nothing_leaked(gate, before)
    assert [record.disconnected_at for record in requests_of(gate, customer)] == [0] * EACH


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
async def test_during_an_upload(gate: Deployment, chunked: bool) -> None:
    """Half a body is no body: the gateway never takes it for a whole one."""
    before, customer = sockets(gate), await gate.customer()
    half = bytes(100_000)
    framing = ("transfer-encoding", "chunked") if chunked else ("content-length", "200000")
    fields = [*customer.headers.items(), ("content-type", "application/octet-stream"), framing]
    wires = await ask(gate, request("POST", "/upscale", fields), chunk(half) if chunked else half)

    def arrived() -> bool:
        return [record.body_length for record in requests_of(gate, customer)] == [len(half)] * EACH

    await eventually(arrived)
    await asyncio.gather(*(either(number)(wire) for number, wire in enumerate(wires)))
    events = await gate.settled(EACH, customer.app)
    assert [facts(event) for event in events] == [("client_disconnect", NOTHING, "")] * EACH
    await nothing_leaked(gate, before)
    ends = [(record.body_complete, record.outcome) for record in requests_of(gate, customer)]
    assert ends == [(False, "aborted")] * EACH


async def test_before_anything_was_forwarded(gate: Deployment) -> None:
    """A body that stops before its request was admitted leaves neither event nor hold."""
    before, customer = sockets(gate), await gate.customer()
    wires = await ask(gate, post(customer, "/text-to-image", IMAGE)[:-10])

    async def all_served() -> bool:
        return await in_flight(gate) == EACH

    await eventually(all_served)
    await asyncio.gather(*(either(number)(wire) for number, wire in enumerate(wires)))
    await nothing_leaked(gate, before)
    assert await gate.events(customer.app) == []
    assert requests_of(gate, customer) == []


async def test_while_the_gate_waits_for_it_to_read(gate: Deployment) -> None:
    before, customer = sockets(gate), await gate.customer()
    fields = [*customer.headers.items(), ("x-mock-gateway", "bytes=50000000")]
    wires = await ask(gate, request("GET", "/stream/a.ts", fields), count=20)
    assert [(await wire.head()).status for wire in wires] == [200] * 20
    await asyncio.gather(*map(vanish, wires))
    events = await gate.settled(20, customer.app)
    assert {event["outcome"] for event in events} == {"client_disconnect"}
    await nothing_leaked(gate, before)


async def test_half_closed(gate: Deployment) -> None:
    """Who closes the sending half is taken to have left, as by servers in Go: the two cannot be told apart."""
    before, customer = sockets(gate), await gate.customer()
    wires = await ask(gate, post(customer, "/text-to-image", HELD))
    await gate.gateway.wait_for(held=EACH)
    for wire in wires:
        wire.end()
    assert {await wire.rest() for wire in wires} == {b""}
    events = await gate.settled(EACH, customer.app)
    assert [facts(event) for event in events] == [("client_disconnect", NOTHING, "")] * EACH
    await asyncio.gather(*map(hang_up, wires))
    await nothing_leaked(gate, before)
