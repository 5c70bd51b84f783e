"""The stages of streams: one for live video-to-video, one for BYOC streams."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from middlewares.client_text import check_length
from middlewares.exchange import Declaration, Exchange, Refusal
from middlewares.ledger.sessions.sessions import Sessions
from middlewares.live.byoc_streams import ByocStreams
from middlewares.live.stream_tokens import LIFE_SECONDS, PARAMETER, StreamToken, StreamTokenSigner
from middlewares.routing.traits import StreamStep
from middlewares.store import StoreError
from middlewares.stream_scope import check_stream

NameResolver = Callable[[str, str], str | None]
"""Function from an app's client id and a name to the name at the gateway; None: the name is another app's."""

_STREAM_SEGMENT = 3
"""Path segment of `/live/video-to-video/{stream}/whip` that names the stream."""


class LiveMiddleware:
    """Adds a stream token to WHIP requests; answers the DELETE of a WHIP session, for which gateways have no route."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        sessions: Sessions,
        names: NameResolver,
        stream_tokens: StreamTokenSigner | None,
    ) -> None:
        """Without `stream_tokens` no webhook is served, so that nothing would meter a stream: WHIP is refused."""
        self.app = app
        self.sessions = sessions
        self.names = names
        self.stream_tokens = stream_tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange: Exchange = scope["tollgate.exchange"]
        step = exchange.route.stream if exchange.route else StreamStep.NONE
        if step is StreamStep.CLOSE:
            await self._close(exchange, send)
            return
        if step is StreamStep.OFFER and exchange.method == "POST":
            self._sign(exchange, scope["query_string"])
        await self.app(scope, receive, send)

    def _sign(self, exchange: Exchange, query: bytes) -> None:
        """Add a stream token to the target, and declare the pipeline of the stream as its model.

        Raises `Refusal` (501) where no secret is configured.
        """
        if self.stream_tokens is None:
            detail = "Live streams are not offered here: without `webhooks.secret` no gateway can report their time."
            raise Refusal(501, "live_not_metered", detail)
        principal = exchange.principal
        assert principal is not None  # noqa: S101 - auth stands before this stage
        requested = parse_qs(query.decode("ascii")).get("pipeline", [""])[0]
        check_length("pipeline", requested)
        pipeline = requested or principal.plan.live.pipeline or ""

        async def declare() -> Declaration:
            return Declaration(model=pipeline or None)

        exchange.declare = declare
        token = StreamToken(
            request=exchange.request_id,
            app=principal.app,
            user=principal.user,
            key=principal.key,
            plan=principal.plan_name,
            stream=self._stream_name(exchange, principal.app),
            pipeline=pipeline,
            expires=time.time() + LIFE_SECONDS,
        )
        separator = b"&" if b"?" in exchange.target else b"?"
        exchange.target += separator + f"{PARAMETER}={self.stream_tokens.sign(token)}".encode()

    async def _close(self, exchange: Exchange, send: Send) -> None:
        """End the session of a DELETE (RFC 9725 section 4.2); the media ends by itself within seconds.

        While Redis is unavailable it succeeds all the same: a stream that no heartbeat reports any more ends there.
        """
        assert exchange.principal is not None  # noqa: S101 - auth stands before this stage
        app = exchange.principal.app
        stream, status = self._stream_name(exchange, app), 204
        if exchange.method == "DELETE":
            status = 200
            with suppress(StoreError):
                await self.sessions.end(app, stream)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _stream_name(self, exchange: Exchange, app: str) -> str:
        name = self.names(app, exchange.path.split("/")[_STREAM_SEGMENT])
        if name is None:
            raise Refusal(404, "unknown_id", "There is nothing of this name, or it has ended.")
        assert exchange.principal is not None  # noqa: S101 - auth stands before this stage
        check_stream(exchange.principal, name)
        return name


class ByocStreamMiddleware:
    """Opens a BYOC stream's session with the response to its start, and ends it with the response to its stop.

    Stands inside the usage tracker: a start whose time cannot be kept is refused, and that stage releases its hold.
    Stands next to the forwarder: the stream's id and its gateway are noted before it is started.
    """

    def __init__(self, app: ASGIApp, *, streams: ByocStreams) -> None:
        self.app = app
        self.streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange: Exchange = scope["tollgate.exchange"]
        step = exchange.route.stream if exchange.route and exchange.method != "OPTIONS" else StreamStep.NONE
        if step is StreamStep.START:
            await self._start(exchange, scope, receive, send)
            return
        if step in (StreamStep.STOP, StreamStep.HANG_UP):
            send = self.streams.track_end(exchange, send)
        await self.app(scope, receive, send)

    async def _start(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a start. Its note stays where the gateway may have started a stream that has no session."""
        await self.streams.note_start(exchange)
        try:
            await self.app(scope, receive, self.streams.track_start(exchange, send))
        finally:
            if not exchange.forwarded or 400 <= exchange.gateway_status < 500:
                await self.streams.forget_start(exchange)
