"""Tier, workload and model in; gateways to try and the hints they understand out."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterable
from functools import lru_cache, partial

from starlette.types import ASGIApp, Receive, Scope, Send

from config.routing import RouteRule, Routing, Tier
from config.transcoding import Transcoding
from config.workloads import Workload
from middlewares.exchange import Affinity, Exchange, Refusal, Route
from middlewares.tier_routing.fleet import Fleet
from middlewares.tier_routing.hints import job_header, live_target
from middlewares.tier_routing.models import send_models
from middlewares.tier_routing.rules import choose_pools

HINTED = frozenset({Workload.BYOC, Workload.LIVE_VIDEO_TO_VIDEO, Workload.TRANSCODING})
"""Workloads with hints or configuration for single requests (gateway contract sections 3 and 4)."""
REMEMBERED_CHOICES = 4096
"""Of pools by tier, workload and model. Models are the client's words, so their number is bounded."""


class TierRoutingMiddleware:
    """Chooses where a request goes. A stock gateway ignores the hints; ours to log and those of patched ones."""

    def __init__(self, app: ASGIApp, *, routing: Routing, fleet: Fleet, models: Iterable[str]) -> None:
        """`models`: those that clients are told of."""
        self._app = app
        self._models = frozenset(models)
        rules = routing.rules or tuple(RouteRule(pool=name) for name in fleet.pools)
        self._pools = lru_cache(REMEMBERED_CHOICES)(partial(choose_pools, rules))
        self._tiers = routing.tiers
        self._fleet = fleet

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Set the exchange's gateways, best first, or refuse where none is healthy (503)."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        exchange: Exchange = scope["tollgate.exchange"]
        principal, route = exchange.principal, exchange.route
        assert principal is not None and route is not None  # noqa: S101, PT018 - auth and edge stand before this stage
        if route.name == "models":
            return send_models(self._models, principal, send)
        exchange.tier = principal.plan.tier
        pools = self._pools(exchange.tier, route.workload, exchange.declared.model)
        if exchange.affinity is not None:
            return self._to_its_own(exchange.affinity, pools, scope, receive, send)
        exchange.pool, exchange.gateways = self._fleet.candidates(pools, time.monotonic())
        self._instruct(exchange, pools)
        return self._app(scope, receive, send)

    async def _to_its_own(
        self, affinity: Affinity, pools: tuple[str, ...], scope: Scope, receive: Receive, send: Send
    ) -> None:
        exchange: Exchange = scope["tollgate.exchange"]
        await self._stick(exchange, affinity, pools)
        self._instruct(exchange, pools)
        await self._app(scope, receive, send)

    def _instruct(self, exchange: Exchange, pools: tuple[str, ...]) -> None:
        """Add what the chosen gateway is told. Raises `Refusal` (503) where there is none."""
        principal, route = exchange.principal, exchange.route
        assert principal is not None and route is not None  # noqa: S101, PT018 - auth and edge stand before this stage
        if not exchange.gateways:
            raise Refusal(
                503,
                "no_gateway",
                "No gateway can take this request right now. Nothing was forwarded and nothing is charged.",
                headers=[(b"retry-after", b"%d" % self._fleet.retry_after(pools))],
            )
        if route.workload in HINTED:
            self._hint(exchange, route, principal.plan.transcoding)
        exchange.headers.append((b"x-tollgate-tier", exchange.tier.encode()))
        exchange.headers.append((b"x-tollgate-app", principal.app.encode()))

    async def _stick(self, exchange: Exchange, affinity: Affinity, pools: tuple[str, ...]) -> None:
        """To the gateway that has what the request names, whatever its pool; elsewhere only what may begin anew."""
        now = time.monotonic()
        url, pool = affinity.gateway, ""
        others: tuple[str, ...] = ()
        if affinity.movable:
            pool, others = self._fleet.candidates(pools, now)
        if (others or not affinity.movable) and not self._fleet.is_healthy(url, now):
            url = await affinity.settle_on(others)
        if not affinity.movable and not self._fleet.is_healthy(url, now):
            if url not in self._fleet.gateways:
                raise Refusal(404, "unknown_id", "The gateway that had this is not there any more.")
            return
        if url in self._fleet.gateways:
            exchange.pool = pool if url in others else self._fleet.pool_of(url)
            exchange.gateways = (url, *(other for other in others if other != url))

    def _hint(self, exchange: Exchange, route: Route, transcoding: Transcoding) -> None:
        tier = self._tiers.get(exchange.tier, Tier())
        if exchange.job is not None:
            exchange.headers.append((b"livepeer", job_header(exchange.job, tier, exchange.request_id)))
        elif route.name == "live-whip":
            exchange.target = live_target(exchange.target, tier)
        elif route.name == "live-push" and transcoding.profiles:
            exchange.headers.append((b"livepeer-transcode-configuration", transcoding.configuration))
