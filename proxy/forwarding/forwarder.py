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
from middlewares.tier_routing.drops import DropReason, DropReasons
from middlewares.tier_routing.fleet import Fleet, GatewayState
from proxy.forwarding.disconnect import ClientGone, DisconnectCanceller
from proxy.forwarding.failures import refusal_of
from proxy.forwarding.health_prober import HealthProber
from proxy.forwarding.relay import relay
from proxy.forwarding.request_body import open_body
from proxy.upstream import (
    ConnectFailed,
    ConnectionDropped,
    ConnectionPool,
    InvalidRequest,
    PoolExhausted,
    RequestIncomplete,
    Timeouts,
    UpstreamError,
)

FAILING = frozenset((502, 503, 504))
"""Statuses that put a gateway's health in doubt: what stands before it may have sent them."""

DROP_WEIGHT_SECONDS = 1.0
"""How long a dropped request still counts as in flight, so that a gateway that drops all is not the least busy one."""

QUEUE_SECONDS = 5.0
"""How long a request may wait for a connection where all connections to its gateway are busy."""


class Forwarder:
    """An ASGI application that responds to every request with a gateway's response."""

    def __init__(
        self,
        pools: Mapping[str, ConnectionPool],
        hosts: Mapping[str, bytes],
        fleet: Fleet,
        routing: Routing,
        *,
        prober: HealthProber,
        drops: DropReasons,
    ) -> None:
        """`pools` and `hosts` are the connections and Host headers of the gateways, by origin."""
        self._pools = pools
        self._timeouts = {workload: _timeouts(routing.timeouts_of(workload)) for workload in Workload}
        self._limits = {workload: routing.response_limits_of(workload) for workload in Workload}
        self._hosts = {url: (b"host", host) for url, host in hosts.items()}
        self._fleet = fleet
        self._prober = prober
        self._drops = drops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward once. A client that goes away cancels the gateway's work, unless the exchange outlives its client.

        Raises `Refusal` when the gateway fails, also in the middle of its response: the response stage then ends the
        client's connection, so that a cut response never looks whole.
        """
        exchange: Exchange = scope["tollgate.exchange"]
        connection: ClientConnection = scope["tollgate.connection"]
        client_optional = connection.body_received if exchange.outlives_client else None
        canceller = DisconnectCanceller(asyncio.current_task(connection.loop), client_optional)
        connection.on_disconnect(canceller)
        try:
            await self._forward(exchange, connection, receive, send)
        except asyncio.CancelledError:
            if not canceller.happened:
                if not exchange.relayed:
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
        workload, model = _workload(exchange), exchange.declared.model or ""
        timeouts, sent = self._timeouts[workload], 0.0
        body = await open_body(receive, connection, timeouts.idle) if exchange.has_body else None

        def mark_forwarded() -> None:
            nonlocal sent
            exchange.forwarded = True
            sent = time.monotonic()

        for url in exchange.gateways:
            state, key = self._fleet.gateways[url], (url, workload, model)
            state.in_flight += 1
            self._drops.begin(key)
            weight_seconds = 0.0
            try:
                exchange.gateway = url
                response = await self._pools[url].send(
                    exchange.method.encode(),
                    exchange.target,
                    [self._hosts[url], *exchange.headers],
                    body,
                    length=exchange.content_length,
                    timeouts=timeouts,
                    on_send=mark_forwarded,
                )
                exchange.upstream_seconds = time.monotonic() - sent
                exchange.gateway_status = response.status
                try:
                    if response.status in FAILING:
                        self._prober.suspect(url)
                        self._prober.count_error(url, f"status_{response.status}")
                    else:
                        self._prober.record_response(url)
                        if response.status < 300:
                            self._drops.record_served(key, time.monotonic())
                    await relay(exchange, response, send, self._limits[workload])
                finally:
                    response.close()
                return
            except ConnectionDropped as error:
                weight_seconds = DROP_WEIGHT_SECONDS
                reason = self._drops.reason(exchange, key, time.monotonic())
                refusal = refusal_of(error, await self._confirm(exchange, url, reason))
                self._prober.count_error(url, refusal.code)
                exchange.failed_attempts += ((url, refusal.code),)
                exchange.end(Outcome.UPSTREAM_ERROR, refusal.code, refusal.status)
                raise refusal from error
            except UpstreamError as error:
                self._record(error, url)
                refusal = refusal_of(error)
                self._prober.count_error(url, refusal.code)
                exchange.failed_attempts += ((url, refusal.code),)
                if not error.request_sent and url != exchange.gateways[-1]:
                    continue
                exchange.end(Outcome.UPSTREAM_ERROR, refusal.code, refusal.status)
                raise refusal from error
            finally:
                self._drops.end(key)
                _release(state, weight_seconds)

    def _record(self, error: UpstreamError, url: str) -> None:
        """Record what a failed exchange says of the gateway's health: only a connection that it does not take counts.

        That all connections are busy, or that a client's body ended early, says nothing of it.
        """
        if isinstance(error, ConnectFailed):
            self._prober.record_unreachable(url)
        elif not isinstance(error, PoolExhausted | RequestIncomplete):
            self._prober.suspect(url)

    async def _confirm(self, exchange: Exchange, url: str, reason: DropReason) -> DropReason:
        """Return the reason of a drop if the gateway still responds; of one that does not, the cause is not known."""
        try:
            return reason if await self._prober.responds(url) else DropReason.UNKNOWN
        except asyncio.CancelledError:  # a client that leaves now does not pay as if it had left before
            refusal = refusal_of(ConnectionDropped(url, "dropped", reused=False))
            exchange.end(Outcome.UPSTREAM_ERROR, refusal.code, refusal.status)
            raise


def _release(state: GatewayState, weight_seconds: float) -> None:
    """Count a request as in flight no more, after `weight_seconds`."""
    if weight_seconds:
        asyncio.get_running_loop().call_later(weight_seconds, _release, state, 0.0)
    else:
        state.in_flight -= 1


def _timeouts(configured: GatewayTimeouts) -> Timeouts:
    return Timeouts(
        queue=QUEUE_SECONDS, connect=configured.connect, first_byte=configured.first_byte, idle=configured.idle
    )


def _workload(exchange: Exchange) -> Workload:
    assert exchange.route is not None  # noqa: S101 - edge stands before this
    return exchange.route.workload
