"""The end of the pipeline: streams a request to its gateway and the answer back, with backpressure both ways."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping

from starlette.types import Message, Receive, Scope, Send

import config.routing
from config.routing import Routing
from config.workloads import Workload
from middlewares.connection import ClientConnection
from middlewares.exchange import Exchange, Outcome, Refusal
from middlewares.tier_routing.fleet import Fleet
from proxy.forwarding.failures import refusal_of
from proxy.forwarding.response_guard import FLOODED, ResponseGuard
from proxy.upstream import ConnectionPool, InvalidRequest, PoolExhausted, Response, Timeouts, UpstreamError

FAILING = frozenset((502, 503, 504))
"""Answers that count against a gateway's health."""

QUEUE_SECONDS = 5.0
"""How long a request may wait for a connection where the gateway's are all busy."""


class ClientGone(Exception):
    """The client went away before its request body was complete."""


class Forwarder:
    """An ASGI application that answers every request with a gateway's answer."""

    def __init__(
        self, pools: Mapping[str, ConnectionPool], hosts: Mapping[str, bytes], fleet: Fleet, routing: Routing
    ) -> None:
        self._pools = pools
        self._timeouts = {workload: _timeouts(routing.timeouts_of(workload)) for workload in Workload}
        self._answers = {workload: routing.response_limits_of(workload) for workload in Workload}
        self._hosts = {url: (b"host", host) for url, host in hosts.items()}
        self._fleet = fleet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward once. A client that goes away cancels the gateway's work, unless the route outlives its client.

        Raises `Refusal` when the gateway fails, also in the middle of its answer: the response stage then ends the
        client's connection, so that a cut answer never looks whole.
        """
        exchange: Exchange = scope["tollgate.exchange"]
        connection: ClientConnection = scope["tollgate.connection"]
        route = exchange.route
        client_optional = connection.body_received if route is not None and route.outlives_client else None
        canceller = DisconnectCanceller(asyncio.current_task(connection.loop), client_optional)
        connection.on_disconnect(canceller)
        try:
            await self._forward(exchange, connection, receive, send)
        except asyncio.CancelledError:
            if not canceller.happened:
                exchange.outcome, exchange.error = Outcome.GATE_SHUTDOWN, "gate_shutdown"
                exchange.status = exchange.status or 503
                raise
            canceller.forget()
            exchange.outcome, exchange.error = Outcome.CLIENT_DISCONNECT, "client_disconnect"
        except ClientGone:
            exchange.outcome, exchange.error = Outcome.CLIENT_DISCONNECT, "client_disconnect"
        except Refusal as refusal:
            if exchange.outcome is Outcome.COMPLETE:  # nobody else is to blame: reading the body raised it
                exchange.outcome, exchange.error = Outcome.REFUSED, refusal.code
                exchange.status = exchange.status or refusal.status
            raise
        except InvalidRequest as error:
            raise Refusal(400, "malformed_request", f"The request cannot be forwarded: {error}.") from error
        finally:
            canceller.over = True

    async def _forward(self, exchange: Exchange, connection: ClientConnection, receive: Receive, send: Send) -> None:
        timeouts = self._timeouts[_workload(exchange)]
        body: bytes | AsyncIterator[bytes] | None = None
        if exchange.has_body:
            first = await (receive() if connection.body_received() else receive_with_timeout(receive, timeouts.idle))
            body = _Upload(first, receive, timeouts.idle) if first.get("more_body") else _part(first)

        def sending() -> None:
            exchange.forwarded = True

        for url in exchange.gateways:
            state = self._fleet.gateways[url]
            state.in_flight += 1
            try:
                exchange.gateway = url
                started = time.monotonic()
                response = await self._pools[url].send(
                    exchange.method.encode(),
                    exchange.target,
                    [self._hosts[url], *exchange.headers],
                    body,
                    length=exchange.content_length,
                    timeouts=timeouts,
                    on_send=sending,
                )
                exchange.upstream_seconds = time.monotonic() - started
                try:
                    if response.status in FAILING:
                        self._fleet.failed(url, time.monotonic())
                    else:
                        self._fleet.succeeded(url)
                    await self._relay(exchange, response, send)
                finally:
                    response.close()
                return
            except UpstreamError as error:
                if not isinstance(error, PoolExhausted):
                    self._fleet.failed(url, time.monotonic())
                if not error.request_sent and url != exchange.gateways[-1]:
                    continue
                refusal = refusal_of(error)
                exchange.outcome, exchange.error = Outcome.UPSTREAM_ERROR, refusal.code
                exchange.status = exchange.status or refusal.status
                raise refusal from error
            finally:
                state.in_flight -= 1

    async def _relay(self, exchange: Exchange, response: Response, send: Send) -> None:
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        body = response.buffered()  # not before: a stage may take its time over the head, and more arrive meanwhile
        if not response.complete:
            watch = ResponseGuard(self._answers[_workload(exchange)], response.headers, time.monotonic())
        while not response.complete:
            if watch.flood_detected(body, time.monotonic()):
                exchange.outcome, exchange.error = Outcome.REFUSED, FLOODED
                break
            # Even an empty part: the head leaves with the first one, and a client may wait for it.
            await send({"type": "http.response.body", "body": body, "more_body": True})
            body = await response.chunk()
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _timeouts(configured: config.routing.Timeouts) -> Timeouts:
    return Timeouts(QUEUE_SECONDS, configured.connect, configured.first_byte, configured.idle)


def _workload(exchange: Exchange) -> Workload:
    assert exchange.route is not None  # noqa: S101 - edge stands before this
    return exchange.route.workload


async def receive_with_timeout(receive: Receive, seconds: float) -> Message:
    """The next part of the request body. A client that stalls is refused: it holds a gateway's connection."""
    try:
        async with asyncio.timeout(seconds):
            return await receive()
    except TimeoutError:
        detail = f"Nothing of the request body arrived for {seconds:g} seconds."
        raise Refusal(408, "request_stalled", detail, close=True) from None


class DisconnectCanceller:
    """Cancels the forwarding when its client goes away, and remembers that this is why.

    `client_optional` says whether the forwarding can do without its client by now; None: it never can.
    """

    __slots__ = ("_task", "client_optional", "happened", "over")

    def __init__(self, task: asyncio.Task[object] | None, client_optional: Callable[[], bool] | None) -> None:
        self._task = task
        self.client_optional = client_optional
        self.happened = False
        self.over = False

    def __call__(self) -> None:
        if not self.over and self._task is not None and not (self.client_optional and self.client_optional()):
            self.happened = True
            self._task.cancel()

    def forget(self) -> None:
        """The cancellation has been dealt with: what follows runs as if there had been none."""
        if self._task is not None:
            self._task.uncancel()


class _Upload:
    """A request body that is still arriving, as the upstream client reads it."""

    def __init__(self, first: Message, receive: Receive, idle: float) -> None:
        self._next: Message | None = first
        self._receive = receive
        self._idle = idle

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        message, self._next = self._next, None
        while True:
            if message is None:
                message = await receive_with_timeout(self._receive, self._idle)
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
