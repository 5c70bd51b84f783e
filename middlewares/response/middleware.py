"""The response stage: outermost, so that it has the first and the last word on every request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.access import Cors
from middlewares.connection import ClientConnection
from middlewares.exchange import Exchange, Headers, Outcome, Refusal, nothing_declared
from middlewares.response.cors import CorsRules
from middlewares.response.headers import client_headers, client_status
from middlewares.response.limits import limit_fields
from middlewares.response.log import RequestLog
from middlewares.response.metrics import RequestMetrics
from middlewares.response.openai import CHAT_PATH, OpenAiResponse
from middlewares.response.problem import problem

CLIENT_CLOSED = 499
"""Logged for a request whose client got no answer at all; not a status that anybody is sent."""

REFUSED = Outcome.REFUSED.value
INTERNAL_ERROR = "internal_error"
"""Outcomes of requests that the gate itself answered, beside those of `Outcome`."""

_COMPLETE = Outcome.COMPLETE  # bound once: before Python 3.12, naming a member of an enum costs as much as a call

logger = structlog.get_logger(__name__)


class ResponseMiddleware:
    """Shapes what the client sees, answers preflights and refusals, and accounts for each request in log and metrics.

    An answer that fails after its head was sent ends with its connection, so that the client sees it is not whole.
    For that it uses `scope["tollgate.connection"].abort()` where the server provides it.
    """

    def __init__(self, app: ASGIApp, *, cors: Cors, log: RequestLog, metrics: RequestMetrics) -> None:
        self.app = app
        self.cors = CorsRules(cors) if cors.allow_origins else None
        self.log = log
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange: Exchange = scope["tollgate.exchange"]
        cors = self.cors
        answer = ClientResponse(exchange, send, cors.fields(scope) if cors else [])
        self.metrics.begin()
        try:
            if cors and (preflight := cors.preflight(scope)) is not None:
                await answer.write(204, preflight)
                return
            try:
                send = OpenAiResponse(answer.send).send if exchange.path == CHAT_PATH else answer.send
                await self.app(scope, receive, send)
            except (Exception, asyncio.CancelledError) as error:
                await self._refuse(answer, error)
            if answer.started and not answer.complete:
                await _abort(scope, receive)
        finally:
            seconds = time.monotonic() - exchange.started
            exchange.status = exchange.status or CLIENT_CLOSED
            outcome = answer.outcome
            self.metrics.end(exchange, outcome=outcome, seconds=seconds)
            self.log.write(exchange, outcome=outcome, seconds=seconds)
            # The only way round in a circle: what a request leaves behind goes at once, without a collector.
            exchange.declare = nothing_declared

    async def _refuse(self, answer: ClientResponse, error: BaseException) -> None:
        """ClientResponse with a problem document, unless an answer is already under way."""
        exchange = answer.exchange
        answer.verdict = REFUSED
        if isinstance(error, Refusal):
            refusal = error
        elif isinstance(error, asyncio.CancelledError):  # what comes now is brief, and nobody waits for this task
            refusal = _stopped()
        else:
            logger.exception(INTERNAL_ERROR, request_id=exchange.request_id)
            answer.verdict = INTERNAL_ERROR
            refusal = Refusal(500, INTERNAL_ERROR, "The gate failed; its operator finds why in the log.")
        exchange.error = exchange.error or refusal.code
        self.metrics.refuse(refusal.code)
        if not answer.started:
            headers, body = problem(refusal, exchange.request_id, exchange.path)
            await answer.write(refusal.status, headers, body)


class ClientResponse:
    """The answer to one request on its way to the client."""

    __slots__ = ("_cors", "_send", "complete", "exchange", "started", "verdict")

    def __init__(self, exchange: Exchange, send: Send, cors: Headers) -> None:
        self.exchange = exchange
        self.started = False
        self.complete = False
        self.verdict = ""
        self._send = send
        self._cors = cors

    @property
    def outcome(self) -> str:
        """How the request ended: what the gate made of it, unless the gateway's part says more."""
        exchange = self.exchange
        if self.verdict == REFUSED and (exchange.forwarded or exchange.outcome is not _COMPLETE):
            return exchange.outcome
        return self.verdict or exchange.outcome

    def send(self, message: Message) -> Awaitable[None]:
        """Pass on what the stages inside send; a head loses what no client may see, and gains the gate's fields."""
        if message["type"] == "http.response.body":
            self.exchange.bytes_out += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        elif message["type"] == "http.response.start":
            status = client_status(message["status"])
            headers = message.get("headers", ())
            # Only a gateway's headers are filtered; a control surface may, for example, set cookies.
            return self._start(status, headers if self.exchange.surface else client_headers(headers, status))
        return self._send(message)

    async def write(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """ClientResponse in the gate's own words."""
        await self._start(status, headers)
        await self.send({"type": "http.response.body", "body": body})

    def _start(self, status: int, headers: Headers) -> Awaitable[None]:
        exchange = self.exchange
        exchange.status = status
        self.started = True
        request_id = b"x-request-id", exchange.request_id.encode()
        headers = [*headers, request_id, *limit_fields(exchange.limit_states), *self._cors]
        return self._send({"type": "http.response.start", "status": status, "headers": headers})


def _stopped() -> Refusal:
    return Refusal(
        503,
        "gate_shutdown",
        "The gate is being stopped and cannot wait for this request any longer. Send it again in a moment.",
        headers=[(b"retry-after", b"1")],
        close=True,
    )


async def _abort(scope: Scope, receive: Receive) -> None:
    """End the connection now, and return when it has ended: the server then knows why the answer is not whole."""
    connection: ClientConnection | None = scope.get("tollgate.connection")
    if connection is None:
        return
    connection.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
