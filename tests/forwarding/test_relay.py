"""Hazards of a response that is relayed in parts: its client asks again before its place is given back, or leaves
because the gateway has failed, and pays for having left."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from config.routing import ResponseLimits
from middlewares.exchange import Exchange
from proxy.forwarding.relay import relay
from proxy.upstream import Response, UpstreamError

LIMITS = ResponseLimits(seconds=60)


def response_of(body: bytes) -> Response:
    response = Response()
    response.status = 200
    response.parts.append(body)
    response.size = len(body)
    return response


@pytest.mark.parametrize("in_parts", [False, True])
async def test_the_stages_go_on_in_the_iteration_in_which_the_end_of_a_response_leaves(in_parts: bool) -> None:
    """It leaves with all that its iteration has written, at the beginning of the next: a release is right behind it."""
    loop, exchange = asyncio.get_running_loop(), Exchange("id", 0.0, "GET", "/")
    iterations: list[int] = []

    def next_one() -> None:
        iterations.append(len(iterations))
        loop.call_soon(next_one)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body" and not message["more_body"]:
            loop.call_soon(next_one)

    response = response_of(b"part")
    if in_parts:
        loop.call_later(0.01, response.end)
    else:
        response.end()
    await relay(exchange, response, send, LIMITS)
    assert exchange.relayed == in_parts
    if not exchange.relayed:
        await asyncio.sleep(0)  # as the usage tracker does
    assert iterations == [0]


async def relaying(response: Response) -> asyncio.Task[None]:
    """Return what relays a response once it waits for the next part."""
    begun = asyncio.Event()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            begun.set()

    task = asyncio.create_task(relay(Exchange("id", 0.0, "GET", "/"), response, send, LIMITS))
    await begun.wait()
    return task


async def test_a_client_that_leaves_because_the_gateway_has_failed_is_not_what_ended_the_response() -> None:
    response = response_of(b"part")
    task = await relaying(response)
    response.end(UpstreamError("gateway", "it has failed"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(UpstreamError):
        await task


async def test_a_client_that_leaves_before_ends_the_response() -> None:
    task = await relaying(response_of(b"part"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
