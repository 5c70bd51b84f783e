"""The end of the pipeline: streams a request to its gateway and the response back, with backpressure both ways."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from starlette.types import Receive, Scope, Send

from config.routing import GatewayTimeouts, Routing
from config.workloads import Workload
from middlewares.connection import ClientConnection
from middlewares.exchange import Exchange, Outcome, Refusal
from middlewares.tier_routing.fleet import Fleet
from proxy.forwarding.disconnect import ClientGone, DisconnectCanceller
from proxy.forwarding.failures import refusal_of
from proxy.forwarding.request_body import open_body
from proxy.forwarding.response_guard import FLOODED, ResponseGuard
from proxy.upstream import InvalidRequest, Pool, PoolExhausted, Response, Timeouts, UpstreamError

FAILING = frozenset((502, 503, 504))
"""Statuses that count against a gateway's health."""

QUEUE_SECONDS = 5.0
"""How long a request may wait for a connection where all connections to its gateway are busy."""


class Forwarder:
    """An ASGI application that responds to every request with a gateway's response."""

    def __init__(self, pools: Mapping[str, Pool], hosts: Mapping[str, bytes], fleet: Fleet, routing: Routing) -> None:
        self._pools = pools
        self._timeouts = {workload: _timeouts(routing.timeouts_of(workload)) for workload in Workload}
        self._limits = {workload: routing.response_limits_of(workload) for workload in Workload}
        self._hosts = {url: (b"host", host) for url, host in hosts.items()}
        self._fleet = fleet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward once. A client that goes away cancels the gateway's work, unless the route outlives its client.

        Raises `Refusal` when the gateway fails, also in the middle of its response: the response stage then ends the
        client's connection, so that a cut response never looks whole.
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
                exchange.end(Outcome.GATE_SHUTDOWN, "gate_shutdown", 503)
                raise
            canceller.forget()
            exchange.end(Outcome.CLIENT_DISCONNECT, "client_disconnect")
        except ClientGone:
            exchange.end(Outcome.CLIENT_DISCONNECT, "client_disconnect")
        except Refusal as refusal:
            exchange.end(Outcome.REFUSED, refusal.code, refusal.status)
            raise
        except InvalidRequest as error:
            raise Refusal(400, "malformed_request", f"The request cannot be forwarded: {error}.") from error
        except Exception:
            exchange.end(Outcome.INTERNAL_ERROR, "internal_error", 500)
            raise
        finally:
            canceller.over = True

    async def _forward(self, exchange: Exchange, connection: ClientConnection, receive: Receive, send: Send) -> None:
        timeouts = self._timeouts[_workload(exchange)]
        body = await open_body(receive, connection, timeouts.idle) if exchange.has_body else None

        def mark_forwarded() -> None:
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
                    on_send=mark_forwarded,
                )
                exchange.upstream_seconds = time.monotonic() - started
                exchange.gateway_status = response.status
                try:
                    if response.status in FAILING:
                        self._fleet.record_failure(url, time.monotonic())
                    else:
                        self._fleet.record_success(url)
                    await self._relay(exchange, response, send)
                finally:
                    response.close()
                return
            except UpstreamError as error:
                if not isinstance(error, PoolExhausted):
                    self._fleet.record_failure(url, time.monotonic())
                if not error.request_sent and url != exchange.gateways[-1]:
                    continue
                refusal = refusal_of(error)
                exchange.end(Outcome.UPSTREAM_ERROR, refusal.code, refusal.status)
                raise refusal from error
            finally:
                state.in_flight -= 1

    async def _relay(self, exchange: Exchange, response: Response, send: Send) -> None:
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        body = response.buffered()  # not before: a stage may take its time over the head, and more arrive meanwhile
        if not response.complete:
            guard = ResponseGuard(self._limits[_workload(exchange)], response.headers, time.monotonic())
        while not response.complete:
            if guard.flood_detected(body, time.monotonic()):
                exchange.end(Outcome.REFUSED, FLOODED)
                break
            # Even an empty part: the head leaves with the first one, and a client may wait for it.
            await send({"type": "http.response.body", "body": body, "more_body": True})
            body = await response.chunk()
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _timeouts(configured: GatewayTimeouts) -> Timeouts:
    return Timeouts(
        queue=QUEUE_SECONDS, connect=configured.connect, first_byte=configured.first_byte, idle=configured.idle
    )


def _workload(exchange: Exchange) -> Workload:
    assert exchange.route is not None  # noqa: S101 - edge stands before this
    return exchange.route.workload
