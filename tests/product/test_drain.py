"""SIGTERM: unready at once, nothing new, what runs may finish, and everything is counted before the end."""

import asyncio
import contextlib
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil

from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.wire import Wire, request

STREAMS = 40
HOLD = "drain"


def chat(customer: Customer, held: str = f"hold={HOLD},hold-at=2") -> bytes:
    """A streamed chat that is held back after two of its eight tokens."""
    model = f"mock/{held}"
    body = {"model": model, "max_tokens": 8, "stream": True, "messages": [{"role": "user", "content": "a"}]}
    return request("POST", "/llm", customer.headers.items(), json.dumps(body).encode())


class Stream:
    """A client in the middle of a streamed answer."""

    def __init__(self, wire: Wire, pieces: AsyncIterator[bytes]) -> None:
        self._wire = wire
        self._pieces = pieces
        self.text = b""

    @classmethod
    async def begin(cls, gate: Deployment, customer: Customer) -> "Stream":
        """Return once the first two tokens are here."""
        wire = await Wire.open(gate.address)
        await wire.send(chat(customer))
        head = await wire.head()
        assert head.status == 200
        stream = cls(wire, wire.body(head, "POST"))
        while stream.text.count(b"data: ") < 2:
            stream.text += await anext(stream._pieces)
        return stream

    async def end(self) -> bool:
        """Read on; whether the answer ended as it should, and did not just stop."""
        try:
            async for piece in self._pieces:
                self.text += piece
        except (EOFError, ConnectionError):
            return False
        finally:
            await self._wire.close()
        return True


@contextlib.asynccontextmanager
async def private(gate: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=gate.private, trust_env=False, verify=False, timeout=30) as http:
        yield http


async def connects(gate: Deployment) -> bool:
    try:
        await (await Wire.open(gate.address)).close()
    except ConnectionRefusedError:
        return False
    return True


async def is_served(gate: Deployment, customer: Customer) -> bool:
    async with await Wire.open(gate.address) as wire:
        fields = [*customer.headers.items(), ("X-Mock-Gateway", "bytes=1")]
        return (await wire.ask(request("GET", "/stream/a.ts", fields))).status == 200


async def test_running_streams_finish_and_nothing_new_begins(tmp_path: Path) -> None:
    config = {"workers": 2, "drain": {"delay_seconds": 1.0}}
    async with deployed(tmp_path, config) as gate:
        customer, late = await gate.customer(), await gate.customer()
        streams = await asyncio.gather(*(Stream.begin(gate, customer) for _ in range(STREAMS)))
        mine = gate.processes()
        async with private(gate) as http:
            assert (await http.get("/readyz")).status_code == 200
            gate.signal(signal.SIGTERM)

            async def is_draining() -> bool:
                answer = await http.get("/readyz")
                return answer.status_code == 503 and answer.json()["reason"] == "draining"

            await eventually(is_draining)
            assert await is_served(gate, late), "load balancers have the delay to notice"

            async def is_closed() -> bool:
                return not await connects(gate)

            await eventually(is_closed)
            assert (await http.get("/livez")).status_code == 200
            assert gate.gateway.counters["held"] == STREAMS
        gate.gateway.release(HOLD)
        assert await asyncio.gather(*(stream.end() for stream in streams)) == [True] * STREAMS
        assert {stream.text.count(b"data: ") for stream in streams} == {9}
        assert await gate.ended() == 0
        await eventually(lambda: not any(map(psutil.Process.is_running, mine)))
        events = await gate.settled(STREAMS, customer.app)
        assert {(event["outcome"], event["units"]["output_tokens"]) for event in events} == {("complete", 8)}
        await gate.settled(1, late.app)


BRIEF = {"drain": {"grace_seconds": 1}, "plans": {"billed": {"tier": "a", "on_upstream_error": "measured"}}}


async def test_streams_that_outlast_the_grace_are_cut_and_their_events_say_why(tmp_path: Path) -> None:
    async with deployed(tmp_path, {"workers": 2, **BRIEF}) as gate:
        customer, billed = await gate.customer(), await gate.customer("billed")
        streams = await asyncio.gather(*(Stream.begin(gate, each) for each in (customer, billed) for _ in range(20)))
        async with (
            await waiting(gate, customer, whole=True) as waits,
            await waiting(gate, customer, whole=False) as sends,
        ):
            await gate.gateway.wait_for(held=41)
            gate.signal(signal.SIGTERM)
            for wire in (waits, sends):
                answer = await wire.answer()
                assert (answer.status, answer.code, answer.get("retry-after")) == (503, "gate_shutdown", "1")
        assert await asyncio.gather(*(stream.end() for stream in streams)) == [False] * 40
        assert await gate.ended() == 0
        assert not gate.processes()
        await check_cut(gate, billed, {(200, 2): 20})
        await check_cut(gate, customer, {(200, None): 20, (503, None): 1})
        await eventually(lambda: gate.gateway.counters["in_flight"] == 0)


async def waiting(gate: Deployment, customer: Customer, *, whole: bool) -> Wire:
    """A client without any answer yet: its request is held, or not even here to its end."""
    wire = await Wire.open(gate.address)
    asked = chat(customer, f"hold={HOLD}")
    await wire.send(asked if whole else asked[:-1])
    return wire


async def check_cut(gate: Deployment, customer: Customer, expected: dict[tuple[int, int | None], int]) -> None:
    """Events by status and tokens."""
    events = await gate.settled(sum(expected.values()), customer.app)
    assert {event["outcome"] for event in events} == {"gate_shutdown"}
    assert Counter((event["status"], event["units"].get("output_tokens")) for event in events) == expected
