"""SIGTERM makes Tollgate unready, lets running requests finish, accepts no new ones and counts all before it exits."""

import asyncio
import contextlib
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.raw_http import RawConnection, request

pytestmark = pytest.mark.ci


STREAMS = 40
HOLD = "drain"


def chat(customer: Customer, held: str = f"hold={HOLD},hold-at=2") -> bytes:
    """Return a streamed chat that is held back after two of its eight tokens."""
    model = f"mock/{held}"
    body = {"model": model, "max_tokens": 8, "stream": True, "messages": [{"role": "user", "content": "a"}]}
    return request("POST", "/llm", customer.headers.items(), json.dumps(body).encode())


class Stream:
    """Client in the middle of a streamed response."""

    def __init__(self, connection: RawConnection, pieces: AsyncIterator[bytes]) -> None:
        self._wire = connection
        self._pieces = pieces
        self.text = b""

    @classmethod
    async def begin(cls, deployment: Deployment, customer: Customer) -> "Stream":
        """Send a chat; return once the first two tokens have arrived."""
        connection = await RawConnection.open(deployment.address)
        await connection.send(chat(customer))
        head = await connection.head()
        assert head.status == 200
        stream = cls(connection, connection.body(head, "POST"))
        while stream.text.count(b"data: ") < 2:
            stream.text += await anext(stream._pieces)
        return stream

    async def end(self) -> bool:
        """Read to the end; return True if the response was complete, False if it was cut."""
        try:
            async for piece in self._pieces:
                self.text += piece
        except (EOFError, ConnectionError):
            return False
        finally:
            await self._wire.close()
        return True


@contextlib.asynccontextmanager
async def private(deployment: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=deployment.private, trust_env=False, verify=False, timeout=30) as http:
        yield http


async def connects(deployment: Deployment) -> bool:
    try:
        await (await RawConnection.open(deployment.address)).close()
    except ConnectionRefusedError:
        return False
    return True


async def is_served(deployment: Deployment, customer: Customer) -> bool:
    async with await RawConnection.open(deployment.address) as connection:
        headers = [*customer.headers.items(), ("X-Mock-Gateway", "bytes=1")]
        return (await connection.exchange(request("GET", "/stream/a.ts", headers))).status == 200


async def test_running_streams_finish_and_nothing_new_begins(tmp_path: Path) -> None:
    config = {"workers": 2, "drain": {"delay_seconds": 1.0}}
    async with deployed(tmp_path, config) as deployment:
        customer, late = await deployment.customer(), await deployment.customer()
        streams = await asyncio.gather(*(Stream.begin(deployment, customer) for _ in range(STREAMS)))
        mine = deployment.processes()
        async with private(deployment) as http:
            assert (await http.get("/readyz")).status_code == 200
            deployment.signal(signal.SIGTERM)

            async def is_draining() -> bool:
                response = await http.get("/readyz")
                return response.status_code == 503 and response.json()["reason"] == "draining"

            await eventually(is_draining)
            assert await is_served(deployment, late), "load balancers have the delay to notice"

            async def is_closed() -> bool:
                return not await connects(deployment)

            await eventually(is_closed)
            assert (await http.get("/livez")).status_code == 200
            assert deployment.gateway.counters["held"] == STREAMS
        deployment.gateway.release(HOLD)
        assert await asyncio.gather(*(stream.end() for stream in streams)) == [True] * STREAMS
        assert {stream.text.count(b"data: ") for stream in streams} == {9}
        assert await deployment.wait_for_exit() == 0
        await eventually(lambda: not any(map(psutil.Process.is_running, mine)))
        events = await deployment.settled(STREAMS, customer.app)
        assert {(event["outcome"], event["units"]["output_tokens"]) for event in events} == {("complete", 8)}
        await deployment.settled(1, late.app)


BRIEF = {"drain": {"grace_seconds": 1}, "plans": {"billed": {"tier": "a", "on_upstream_error": "measured"}}}


@pytest.mark.slow
async def test_streams_that_outlast_the_grace_are_cut_and_their_events_say_why(tmp_path: Path) -> None:
    async with deployed(tmp_path, {"workers": 2, **BRIEF}) as deployment:
        customer, billed = await deployment.customer(), await deployment.customer("billed")
        streams = await asyncio.gather(
            *(Stream.begin(deployment, each) for each in (customer, billed) for _ in range(20))
        )
        async with (
            await open_waiting(deployment, customer, whole=True) as waits,
            await open_waiting(deployment, customer, whole=False) as sends,
        ):
            await deployment.gateway.wait_for(held=41)
            deployment.signal(signal.SIGTERM)
            for connection in (waits, sends):
                response = await connection.response()
                assert (response.status, response.code, response.get("retry-after")) == (503, "gate_shutdown", "1")
        assert await asyncio.gather(*(stream.end() for stream in streams)) == [False] * 40
        assert await deployment.wait_for_exit() == 0
        assert not deployment.processes()
        await check_cut(deployment, billed, {(200, 2): 20})
        await check_cut(deployment, customer, {(200, None): 20, (503, None): 1})
        await eventually(lambda: deployment.gateway.counters["in_flight"] == 0)


async def open_waiting(deployment: Deployment, customer: Customer, *, whole: bool) -> RawConnection:
    """Open a client without a response yet: its request is held, or has not even arrived whole."""
    connection = await RawConnection.open(deployment.address)
    sent = chat(customer, f"hold={HOLD}")
    await connection.send(sent if whole else sent[:-1])
    return connection


async def check_cut(deployment: Deployment, customer: Customer, expected: dict[tuple[int, int | None], int]) -> None:
    """Check the number of events by status and tokens."""
    events = await deployment.settled(sum(expected.values()), customer.app)
    assert {event["outcome"] for event in events} == {"gate_shutdown"}
    assert Counter((event["status"], event["units"].get("output_tokens")) for event in events) == expected
