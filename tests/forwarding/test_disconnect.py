"""Clients that go away: what they cancel, and what goes on without them."""

from __future__ import annotations

import asyncio

import pytest

from middlewares.exchange import Outcome
from proxy.forwarding.disconnect import DisconnectCanceller
from tests.forwarding.fakes import FakeConnection, Forwarded, forwarding, responding, response
from tests.upstream import fakes


async def call_canceller(*, client_optional: bool | None, over: bool) -> tuple[bool, bool]:
    """Return whether a disconnect is what happened, and whether a waiting task was cancelled by it."""
    started = asyncio.Event()

    async def wait() -> None:
        started.set()
        await asyncio.sleep(0.05)

    task: asyncio.Task[object] = asyncio.ensure_future(wait())
    await started.wait()
    canceller = DisconnectCanceller(task, None if client_optional is None else lambda: bool(client_optional))
    canceller.over = over
    canceller()
    await asyncio.wait([task])
    return canceller.happened, task.cancelled()


@pytest.mark.parametrize(
    ("client_optional", "over", "cancels"),
    [(None, False, True), (False, False, True), (True, False, False), (None, True, False), (False, True, False)],
)
async def test_a_disconnect_cancels_unless_the_client_is_optional_or_all_is_over(
    client_optional: bool | None, over: bool, cancels: bool
) -> None:
    assert await call_canceller(client_optional=client_optional, over=over) == (cancels, cancels)


async def test_a_canceller_without_a_task_does_nothing() -> None:
    canceller = DisconnectCanceller(None, None)
    canceller()
    canceller.forget()
    assert not canceller.happened


async def test_a_forgotten_cancellation_leaves_none_behind() -> None:
    """What runs after it, such as a settlement, can wait for something."""
    waited = False

    async def work() -> None:
        nonlocal waited
        canceller = DisconnectCanceller(asyncio.current_task(), None)
        canceller()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(0)
        canceller.forget()
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        waited = True

    await asyncio.create_task(work())
    assert waited


async def test_a_client_that_leaves_cancels_the_work_of_its_gateway() -> None:
    closed = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await fakes.read_head(reader)
        connection.disconnect()
        assert await reader.read() == b""
        closed.set()

    connection = FakeConnection()
    async with forwarding(hang) as forwarder:
        forwarded = await forwarder.forward(connection=connection)
        async with asyncio.timeout(60):
            await closed.wait()
    assert forwarded.sent == []
    assert forwarded.exchange.forwarded
    assert forwarded.exchange.ending.outcome is Outcome.CLIENT_DISCONNECT
    assert forwarder.fleet.is_healthy(forwarder.urls[0]), "that says nothing about the gateway"
    assert forwarder.fleet.gateways[forwarder.urls[0]].in_flight == 0


async def test_a_client_that_leaves_in_the_middle_of_its_response() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await fakes.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\npart")
        await reader.read()

    def leave(forwarded: Forwarded) -> None:
        if forwarded.body:
            forwarded.connection.disconnect()

    async with forwarding(hang) as forwarder:
        forwarded = await forwarder.forward(on_send=leave)
    assert (forwarded.body, forwarded.complete) == (b"part", False)
    assert forwarded.exchange.ending.outcome is Outcome.CLIENT_DISCONNECT


@pytest.mark.parametrize(("received", "outcome"), [(True, Outcome.COMPLETE), (False, Outcome.CLIENT_DISCONNECT)])
async def test_a_pushed_segment_outlives_its_client_once_it_is_whole(received: bool, outcome: Outcome) -> None:
    """The gateway transcodes it all the same, and it is paid for."""
    connection = FakeConnection()

    async def transcode(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await fakes.read_head(reader)
        connection.received = received
        connection.disconnect()
        writer.write(response(b"done"))
        await reader.read()

    async with forwarding(transcode) as forwarder:
        forwarded = await forwarder.forward("live-push", connection=connection)
    assert forwarded.exchange.ending.outcome is outcome
    assert forwarded.body == (b"done" if received else b"")


async def test_a_worker_that_stops_is_no_disconnect() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await fakes.read_head(reader)
        task.cancel()
        await reader.read()

    results: list[Forwarded] = []
    async with forwarding(hang) as forwarder:
        task = asyncio.create_task(forwarder.forward(results=results))
        with pytest.raises(asyncio.CancelledError):
            await task
    ending = results[0].exchange.ending
    assert (ending.outcome, ending.code, ending.status) == (Outcome.GATE_SHUTDOWN, "gate_shutdown", 503)


async def test_a_client_that_leaves_after_the_response_changes_nothing() -> None:
    async with forwarding(responding(response(b"ok"))) as forwarder:
        forwarded = await forwarder.forward()
        forwarded.connection.disconnect()
        await asyncio.sleep(0)
    assert forwarded.complete
    assert forwarded.exchange.ending.outcome is Outcome.COMPLETE
