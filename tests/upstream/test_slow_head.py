"""A stage that takes its time over the head of an answer, while the gateway sends the rest."""

from __future__ import annotations

import pytest
from starlette.types import Message

from config.routing import Routing
from middlewares.exchange import Exchange
from middlewares.routes import BY_NAME
from middlewares.tier_routing.fleet import Fleet
from proxy.forwarding.forwarder import Forwarder
from proxy.upstream import Response


@pytest.mark.parametrize("early", [b"", b"early "])
async def test_what_arrives_while_the_head_is_looked_at_is_not_lost(early: bytes) -> None:
    response = Response()
    response.status = 200
    sent: list[bytes] = []

    def arrive(part: bytes) -> None:
        response.parts.append(part)
        response.size += len(part)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            arrive(b"late")
            response.end()
        else:
            sent.append(message["body"])

    if early:
        arrive(early)
    exchange = Exchange("id", 0.0, "GET", "/", route=BY_NAME["playback"])
    await Forwarder({}, {}, Fleet({}), Routing())._relay(exchange, response, send)
    assert b"".join(sent) == early + b"late"
