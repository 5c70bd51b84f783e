"""Signs WHIP requests, so that the gateway's question about them can be answered, and ends WHIP sessions."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from middlewares.exchange import Declared, Exchange, Refusal
from middlewares.ledger.sessions.sessions import Sessions
from middlewares.live.stream_tokens import LIFE_SECONDS, PARAMETER, StreamToken, StreamTokenSigner
from middlewares.routing.traits import StreamStep
from middlewares.store import StoreError

Names = Callable[[str, str], str | None]
"""Client id of an app and a name in, what the gateway calls it out; None: it is another app's."""

_STREAM = 3
"""Of `/live/video-to-video/{stream}/whip`, the path segment that names the stream."""


class LiveMiddleware:
    """Adds a pass to WHIP requests; answers the DELETE of a WHIP session, for which gateways have no route."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        sessions: Sessions,
        names: Names,
        stream_tokens: StreamTokenSigner | None,
    ) -> None:
        """`stream_tokens`: None where no gateway asks."""
        self.app = app
        self.sessions = sessions
        self.names = names
        self.stream_tokens = stream_tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            exchange: Exchange = scope["tollgate.exchange"]
            step = exchange.route.stream if exchange.route else StreamStep.NONE
            if step is StreamStep.CLOSE:
                await self._close(exchange, send)
                return
            if step is StreamStep.OFFER and exchange.method == "POST":
                self._sign(exchange, scope["query_string"])
        await self.app(scope, receive, send)

    def _sign(self, exchange: Exchange, query: bytes) -> None:
        """The pipeline of a live stream is its model, which the limits look at."""
        principal = exchange.principal
        assert principal is not None  # noqa: S101 - auth stands before this stage
        asked = parse_qs(query.decode("ascii")).get("pipeline", [""])[0]
        pipeline = asked or principal.plan.live.pipeline or ""

        async def declare() -> Declared:
            return Declared(model=pipeline or None)

        exchange.declare = declare
        if self.stream_tokens is None:
            return
        given = StreamToken(
            exchange.request_id,
            principal.app,
            principal.user,
            principal.key,
            principal.plan_name,
            self._stream(exchange, principal.app),
            pipeline,
            time.time() + LIFE_SECONDS,
        )
        separator = b"&" if b"?" in exchange.target else b"?"
        exchange.target += separator + f"{PARAMETER}={self.stream_tokens.sign(given)}".encode()

    async def _close(self, exchange: Exchange, send: Send) -> None:
        """DELETE ends the session (RFC 9725 section 4.2); media ends by itself within seconds.

        A store that is away is no reason to refuse: what is not reported any more ends there, too.
        """
        assert exchange.principal is not None  # noqa: S101 - auth stands before this stage
        app = exchange.principal.app
        stream, status = self._stream(exchange, app), 204
        if exchange.method == "DELETE":
            status = 200
            with suppress(StoreError):
                await self.sessions.end(app, stream)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _stream(self, exchange: Exchange, app: str) -> str:
        name = self.names(app, exchange.path.split("/")[_STREAM])
        if name is None:
            raise Refusal(404, "unknown_id", "There is nothing of this name, or it has ended.")
        return name
