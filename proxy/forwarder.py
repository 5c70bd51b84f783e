"""The end of the pipeline: streams a request to its gateway and the answer back, with backpressure both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from starlette.types import Message, Receive, Scope, Send

from middlewares.exchange import Exchange, Outcome, exchange_of
from middlewares.tier_routing.fleet import Fleet
from proxy.failures import refusal_of
from proxy.server.protocol import ClientConnection
from proxy.upstream import Pool, PoolExhausted, Response, Timeouts, UpstreamError

FAILING = frozenset((502, 503, 504))
"""Answers that count against a gateway's health."""

QUEUE_SECONDS = 5.0
"""How long a request may wait for a connection where the gateway's are all busy."""


class ClientGone(Exception):
    """The client went away before its request body was complete."""


class Forwarder:
    """An ASGI application that answers every request with a gateway's answer."""

    def __init__(self, pools: Mapping[str, Pool], hosts: Mapping[str, bytes], fleet: Fleet) -> None:
        self._pools = pools
        self._hosts = hosts
        self._fleet = fleet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward once. A client that goes away at any point cancels the gateway's work.

        Raises `Refusal` when the gateway fails, also in the middle of its answer: the response stage then ends the
        client's connection, so that a cut answer never looks whole.
        """
        exchange = exchange_of(scope)
        connection: ClientConnection = scope["tollgate.connection"]
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the server runs each request in a task
        connection.on_disconnect(task.cancel)
        try:
            await self._forward(exchange, receive, send)
        except asyncio.CancelledError:
            if not connection.lost:
                raise
            task.uncancel()
            exchange.outcome, exchange.error = Outcome.CLIENT_DISCONNECT, "client_disconnect"
        except ClientGone:
            exchange.outcome, exchange.error = Outcome.CLIENT_DISCONNECT, "client_disconnect"
        finally:
            connection.on_disconnect(None)

    async def _forward(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        body: bytes | AsyncIterator[bytes] | None = None
        if exchange.has_body:
            first = await receive()
            body = _part(first) if not first.get("more_body") else _Upload(first, receive)
        for url in exchange.gateways:
            state = self._fleet.gateways[url]
            state.in_flight += 1
            try:
                response = await self._send(exchange, url, body)
                with response:
                    await self._relay(exchange, response, send)
                return
            except UpstreamError as error:
                if not isinstance(error, PoolExhausted):
                    self._fleet.failed(url, asyncio.get_running_loop().time())
                if not error.request_sent and url != exchange.gateways[-1]:
                    continue
                exchange.outcome = Outcome.UPSTREAM_ERROR
                raise refusal_of(error) from error
            finally:
                state.in_flight -= 1

    async def _send(self, exchange: Exchange, url: str, body: bytes | AsyncIterator[bytes] | None) -> Response:
        def sending() -> None:
            exchange.forwarded = True

        loop = asyncio.get_running_loop()
        limits = exchange.timeouts
        exchange.gateway = url
        started = loop.time()
        response = await self._pools[url].send(
            exchange.method.encode(),
            exchange.target,
            [(b"host", self._hosts[url]), *exchange.headers],
            body,
            length=exchange.content_length,
            timeouts=Timeouts(QUEUE_SECONDS, limits.connect, limits.first_byte, limits.idle),
            on_send=sending,
        )
        exchange.upstream_seconds = loop.time() - started
        if response.status in FAILING:
            self._fleet.failed(url, loop.time())
        else:
            self._fleet.succeeded(url)
        return response

    @staticmethod
    async def _relay(exchange: Exchange, response: Response, send: Send) -> None:
        body = response.buffered()
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        while not response.complete:
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})
            body = await response.chunk()
        await send({"type": "http.response.body", "body": body, "more_body": False})


class _Upload:
    """A request body that is still arriving, as the upstream client reads it."""

    def __init__(self, first: Message, receive: Receive) -> None:
        self._next: Message | None = first
        self._receive = receive

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        message, self._next = self._next, None
        while True:
            if message is None:
                message = await self._receive()
            body = _part(message)
            if not message.get("more_body"):
                self._receive = _nothing_more
            if body:
                return body
            if self._receive is _nothing_more:
                raise StopAsyncIteration
            message = None

    async def aclose(self) -> None:
        """The gateway wants no more of it."""


async def _nothing_more() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _part(message: Message) -> bytes:
    """The bytes of a request message; `http.disconnect` before the last one is an abort, never an end."""
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    return body
