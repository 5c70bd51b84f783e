"""Hazard: a client has its response, and asks again before its place is given back."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from config.routing import ResponseLimits
from middlewares.exchange import Exchange
from proxy.forwarding.relay import relay
from proxy.upstream import Response

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
