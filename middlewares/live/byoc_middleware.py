"""Notes the start and the stop of BYOC streams, which are charged by the time between them."""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

from middlewares.exchange import Exchange
from middlewares.live.byoc_streams import NOTED, Streams


class ByocStreamMiddleware:
    """Opens a stream's session with the response to its start, and ends it with the response to its stop.

    Stands inside the usage tracker: a start whose hold cannot be kept is refused, and that stage gives the hold back.
    """

    def __init__(self, app: ASGIApp, *, streams: Streams) -> None:
        self.app = app
        self.streams = streams

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            exchange: Exchange = scope["tollgate.exchange"]
            if exchange.route is not None and exchange.route.name in NOTED:
                return self._follow(scope, receive, send, exchange)
        return self.app(scope, receive, send)

    async def _follow(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        await self.app(scope, receive, self.streams.following(exchange, send))
