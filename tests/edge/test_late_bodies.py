"""Hazard: a body that comes in drips. Each read is in time, and all of them together are not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Message

from config.access import Edge
from middlewares.edge.body import TimedBody
from middlewares.exchange import Refusal
from tests.edge.server_fixture import Server, serve

SECONDS = 0.3
DRIP = 0.02
"""Seconds between two bytes: far below what a single read may take."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Edge(body_seconds=SECONDS, body_bytes_per_second=10_000)) as running:
        yield running


def drip(server: Server, head: bytes) -> Any:
    """Send a head, then a byte at a time until there is a response; return its problem document."""
    with server.connect() as client:
        client.send(head)
        for _ in range(1_000):
            if client.readable(DRIP):
                return client.read_to_end().problem
            client.send(b"1\r\n \r\n" if b"chunked" in head else b" ")
    raise AssertionError("there was no response")


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
def test_a_segment_that_drips_is_given_up(server: Server, framing: bytes) -> None:
    problem = drip(server, b"PUT /live/cam/0.ts HTTP/1.1\r\nHost: proxy\r\n" + framing + b"\r\n\r\n")
    assert (problem["status"], problem["code"]) == (408, "request_timeout")
    assert problem["detail"] == (
        "The body did not arrive in time: it has 0.3 seconds, and one more for every 10000 bytes that have arrived."
    )


class Clock:
    """A connection whose client sends a byte after `delay` seconds of waiting."""

    def __init__(self, *delays: float) -> None:
        self.delays = list(delays)
        self.connection: Any = SimpleNamespace(body_received=lambda: not self.delays)

    async def receive(self) -> Message:
        if not self.delays:
            return {"type": "http.disconnect"}
        await asyncio.sleep(self.delays.pop(0))
        return {"type": "http.request", "body": b"b" * 100, "more_body": bool(self.delays)}


async def read(body: TimedBody, messages: int) -> None:
    for _ in range(messages):
        await body.receive()


async def test_the_time_is_for_all_reads_together() -> None:
    clock = Clock(*[0.03] * 20)
    body = TimedBody(clock.receive, clock.connection, seconds=0.1, bytes_per_second=1_000_000)
    with pytest.raises(Refusal) as refused:
        await read(body, 20)
    assert (refused.value.status, refused.value.close) == (408, True)
    assert clock.delays


async def test_what_arrives_at_the_slowest_pace_passes() -> None:
    clock = Clock(*[0.02] * 10)
    body = TimedBody(clock.receive, clock.connection, seconds=0.15, bytes_per_second=1_000)
    await read(body, 10)
    assert (await body.receive())["type"] == "http.disconnect"


async def test_time_in_which_nobody_reads_does_not_count() -> None:
    """A gateway that is busy takes nothing of the body; that is not its client's fault."""
    clock = Clock(0.0, 0.0)
    body = TimedBody(clock.receive, clock.connection, seconds=0.05, bytes_per_second=1_000_000)
    await body.receive()
    await asyncio.sleep(0.1)
    assert (await body.receive())["more_body"] is False
