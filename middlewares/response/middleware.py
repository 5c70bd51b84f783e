"""The response stage: outermost, so that it has the first and the last word on every request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from config.access import Cors
from middlewares.connection import ClientConnection
from middlewares.exchange import Exchange, Outcome, Refusal, declare_nothing
from middlewares.response.client_response import ClientResponse
from middlewares.response.cors import CorsRules
from middlewares.response.log import RequestLog
from middlewares.response.metrics import RequestMetrics
from middlewares.response.problem import problem

logger = structlog.get_logger(__name__)


def not_recorded(_exchange: Exchange, _refusal: Refusal) -> None:
    """Do nothing about a refusal."""


class ResponseMiddleware:
    """Shapes what the client sees, answers preflights and refusals, and accounts for each request in log and metrics.

    A response that fails after its head was sent ends with its connection, so that the client sees it is incomplete.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        cors: Cors,
        log: RequestLog,
        metrics: RequestMetrics,
        on_refusal: Callable[[Exchange, Refusal], None] = not_recorded,
    ) -> None:
        """`on_refusal` is called for each request that is refused, before its response; it returns at once."""
        self.app = app
        self.cors = CorsRules(cors) if cors.allow_origins or cors.key_origins else None
        self.log = log
        self.metrics = metrics
        self.on_refusal = on_refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange: Exchange = scope["tollgate.exchange"]
        cors = self.cors
        response = ClientResponse(exchange, send, cors.headers(scope) if cors else [], cors)
        self.metrics.begin()
        try:
            if cors and (preflight := cors.preflight(scope)) is not None:
                await response.write(204, preflight)
                return
            try:
                await self.app(scope, receive, response.relay)
            except (Exception, asyncio.CancelledError) as error:
                await self._refuse(response, error)
            if response.started and not response.complete:
                await _abort(scope, receive)
        finally:
            response.close()
            seconds = time.monotonic() - exchange.started
            self.metrics.end(exchange, seconds=seconds)
            self.log.write(exchange, seconds=seconds)
            # The only reference cycle: without it, what a request leaves behind is freed at once, without a collector.
            exchange.declare, exchange.declare_model = declare_nothing, None

    async def _refuse(self, response: ClientResponse, error: BaseException) -> None:
        """Respond with a problem document, unless a response is already under way."""
        exchange = response.exchange
        if isinstance(error, Refusal):
            refusal = error
            exchange.end(Outcome.REFUSED, refusal.code, refusal.status)
        elif isinstance(error, asyncio.CancelledError):  # what comes now is brief, and nobody waits for this task
            refusal = _shutting_down()
            exchange.end(Outcome.REFUSED, refusal.code, refusal.status)
        else:
            logger.exception("internal_error", request_id=exchange.request_id)
            refusal = Refusal(500, "internal_error", "Tollgate failed; its operator finds why in the log.")
            exchange.end(Outcome.INTERNAL_ERROR, refusal.code, refusal.status)
        denied = exchange.denied
        by_limit = denied and denied.code == refusal.code
        self.metrics.refuse(refusal.code, denied.limit_state.policy if denied and by_limit else "")
        self.on_refusal(exchange, refusal)
        if not response.started:
            headers, body = problem(refusal, exchange.request_id, exchange.path)
            await response.write(refusal.status, headers, body)


def _shutting_down() -> Refusal:
    return Refusal(
        503,
        "gate_shutdown",
        "Tollgate is shutting down and cannot wait for this request any longer. Send it again in a moment.",
        headers=[(b"retry-after", b"1")],
        close=True,
    )


async def _abort(scope: Scope, receive: Receive) -> None:
    """Close the connection now, and return when it is closed: the server then knows why the response is incomplete."""
    connection: ClientConnection | None = scope.get("tollgate.connection")
    if connection is None:
        return
    connection.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
