"""The response to one request on its way to the client."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial

from starlette.types import Message, Send

from middlewares.exchange import Exchange, Headers, Outcome
from middlewares.response.balances import BalanceFilter
from middlewares.response.cors import CorsRules
from middlewares.response.headers import client_headers, client_status
from middlewares.response.limits import fallback_header, limit_headers
from middlewares.response.openai import ChatResponse
from middlewares.routing.route import Route
from middlewares.routing.traits import AnsweredBy, Dialect, Measure

CLIENT_CLOSED = 499
"""Recorded for a request whose client was sent nothing at all; not a status that anybody receives."""


class ClientResponse:
    """Sends the response of one exchange; the only writer of its `client_status`."""

    __slots__ = ("_cors", "_dialect", "_rules", "_send", "complete", "exchange", "started")

    def __init__(self, exchange: Exchange, send: Send, cors: Headers, rules: CorsRules | None = None) -> None:
        """`cors` are the headers by the request alone, by `rules`; None: no response has any."""
        self.exchange = exchange
        self.started = False
        self.complete = False
        self._send = send
        self._cors = cors
        self._rules = rules
        self._dialect: ChatResponse | BalanceFilter | None = None

    def relay(self, message: Message) -> Awaitable[None]:
        """Pass on what the stages inside send, in the dialect of the route."""
        if message["type"] == "http.response.start" and self.exchange.route is not None:
            self._dialect = self._dialect_of(self.exchange.route)
        return self.send(message) if self._dialect is None else self._dialect.send(message)

    def _dialect_of(self, route: Route) -> ChatResponse | BalanceFilter | None:
        request = self.exchange.idempotent
        if request is not None and request.replay_of:
            return None  # it was rewritten before it was kept
        if route.meter is Measure.TOKENS:
            return ChatResponse(
                self.send,
                openai=speaks_openai(route),
                stream=self.exchange.chat,
                include_usage=self.exchange.include_usage,
                on_failure=partial(self.exchange.end, Outcome.UPSTREAM_ERROR, "gateway_failed", 502),
            )
        return BalanceFilter(self.send) if route.meter is Measure.WALL_TIME else None

    def send(self, message: Message) -> Awaitable[None]:
        """Pass on an ASGI message; a head loses the headers that no client may see, and gains Tollgate's own."""
        request = self.exchange.idempotent
        if request is not None and request.record is not None:
            request.record(message)
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
        """Send a whole response of Tollgate's own."""
        await self._start(status, headers)
        await self.send({"type": "http.response.body", "body": body})

    def close(self) -> None:
        """Take note that nothing more is sent."""
        self._dialect = None  # which holds this object in turn
        if not self.started:
            self._set_status(CLIENT_CLOSED)

    def _start(self, status: int, headers: Headers) -> Awaitable[None]:
        exchange = self.exchange
        self._set_status(status)
        self.started = True
        request_id = b"x-request-id", exchange.request_id.encode()
        if exchange.page_origin is not None and self._rules is not None:
            self._cors = self._rules.headers_for_key(exchange.page_origin)
        headers = [*headers, request_id, *limit_headers(exchange.limit_states), *self._cors]
        if exchange.fallback is not None:
            headers += fallback_header(exchange.fallback)
        return self._send({"type": "http.response.start", "status": status, "headers": headers})

    def _set_status(self, status: int) -> None:
        self.exchange.client_status = status


def speaks_openai(route: Route) -> bool:
    """Return True if a gateway's response has to be put into the format of OpenAI clients."""
    return route.dialect is Dialect.OPENAI and route.answered_by is AnsweredBy.GATEWAY
