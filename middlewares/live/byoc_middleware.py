"""Notes the start and the stop of BYOC streams, which are charged by the time between them."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from middlewares.exchange import Exchange
from middlewares.live.byoc_streams import Streams
from middlewares.routing.traits import StreamStep


class ByocStreamMiddleware:
    """Opens a stream's session with the response to its start, and ends it with the response to its stop.

    Stands inside the usage tracker: a start whose hold cannot be kept is refused, and that stage gives the hold back.
    """

    def __init__(self, app: ASGIApp, *, streams: Streams) -> None:
        self.app = app
        self.streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            exchange: Exchange = scope["tollgate.exchange"]
            if exchange.route is not None and exchange.route.stream in (StreamStep.START, StreamStep.STOP):
                send = self.streams.following(exchange, send)
        await self.app(scope, receive, send)
