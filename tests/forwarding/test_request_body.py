"""The request body on its way: whole where it is all here, else part by part, and never complete by mistake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive

from middlewares.exchange import Outcome, Refusal
from proxy.forwarding.disconnect import ClientGone
from proxy.forwarding.request_body import StreamedBody, body_part, open_body, receive_with_timeout
from tests.forwarding.fakes import FakeConnection, Forwarded, forwarding, response
from tests.upstream import fakes

DISCONNECT: Message = {"type": "http.disconnect"}


def part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def messages_of(parts: Sequence[bytes]) -> list[Message]:
    return [part(each, more=number < len(parts)) for number, each in enumerate(parts, 1)]


def receiving(messages: Sequence[Message]) -> Receive:
    """Return a `receive` of these messages, and of nothing after them."""
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


@pytest.mark.parametrize("received", [True, False])
async def test_a_body_of_one_message_is_given_whole(received: bool) -> None:
    receive = receiving([part(b"whole", more=False)])
    assert await open_body(receive, FakeConnection(received=received), 1.0) == b"whole"


@given(st.lists(st.binary(max_size=3), min_size=2, max_size=8))
async def test_a_body_of_more_messages_is_given_part_by_part(parts: list[bytes]) -> None:
    body = await open_body(receiving(messages_of(parts)), FakeConnection(received=False), 5.0)
    assert isinstance(body, AsyncIterator)
    read = [each async for each in body]
    assert b"".join(read) == b"".join(parts)
    assert b"" not in read, "an empty chunk would end the body at the gateway"
    assert [each async for each in body] == [], "and it stays ended"


async def test_a_client_that_leaves_before_the_last_part_is_no_end() -> None:
    with pytest.raises(ClientGone):
        await open_body(receiving([DISCONNECT]), FakeConnection(received=False), 1.0)
    body = StreamedBody(part(b"a", more=True), receiving([DISCONNECT]), 1.0)
    assert await anext(body) == b"a"
    with pytest.raises(ClientGone):
        await anext(body)
    with pytest.raises(ClientGone):
        body_part(DISCONNECT)


async def test_a_client_that_stalls_is_refused() -> None:
    for stalls in (
        receive_with_timeout(receiving([]), 0.01),
        open_body(receiving([]), FakeConnection(received=False), 0.01),
        anext(StreamedBody(part(b"", more=True), receiving([]), 0.01)),
    ):
        with pytest.raises(Refusal) as refused:
            await stalls
        assert (refused.value.status, refused.value.code, refused.value.close) == (408, "request_stalled", True)
        assert "0.01 seconds" in refused.value.detail


async def test_the_gateway_gets_what_the_client_sent() -> None:
    received: list[bytes] = []

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await fakes.read_head(reader)
        received.extend((head, await fakes.read_body(reader, head)))
        writer.write(response(b"ok"))
        await reader.read()

    for parts in ([b"whole"], [b"in ", b"", b"parts"]):
        received.clear()
        async with forwarding(record) as forwarder:
            connection = FakeConnection(received=len(parts) == 1)
            forwarded = await forwarder.forward("upscale", messages=messages_of(parts), connection=connection)
        assert forwarded.complete
        assert received[0].startswith(b"POST /target HTTP/1.1\r\nhost: gateway.test\r\n")
        assert received[1] == b"".join(parts)


async def test_a_body_that_is_never_completed_does_not_look_complete_to_the_gateway() -> None:
    ended: asyncio.Queue[bytes] = asyncio.Queue()

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await fakes.read_head(reader)
        ended.put_nowait(await reader.read())

    messages = [part(b"some", more=True), DISCONNECT]
    async with forwarding(record) as forwarder:
        forwarded = await forwarder.forward("upscale", messages=messages, connection=FakeConnection(received=False))
        async with asyncio.timeout(60):
            assert await ended.get() == b"4\r\nsome\r\n"
    assert forwarded.exchange.ending.outcome is Outcome.CLIENT_DISCONNECT


async def test_a_stalled_body_ends_the_request_as_refused() -> None:
    results: list[Forwarded] = []
    timeouts = {"upscale": {"idle": 0.05}}
    async with forwarding(fakes.always_ok, timeouts=timeouts) as forwarder:
        with pytest.raises(Refusal) as refused:
            await forwarder.forward(
                "upscale",
                messages=[part(b"some", more=True)],
                connection=FakeConnection(received=False),
                results=results,
            )
    assert refused.value.code == "request_stalled"
    assert results[0].exchange.ending.outcome is Outcome.REFUSED
