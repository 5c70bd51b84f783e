"""The tier routing stage: chooses gateways by tier, workload and model, and adds the hints that they take."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial

from starlette.types import ASGIApp, Receive, Scope, Send

from config.routing import Routing, Tier
from config.transcoding import Transcoding
from middlewares.exchange import Affinity, Exchange, Refusal
from middlewares.routing.route import Route
from middlewares.routing.traits import AnsweredBy, Hints
from middlewares.tier_routing.fleet import Fleet, choose_pools, rules_in_force
from middlewares.tier_routing.hints import job_header, live_target
from middlewares.tier_routing.models import send_models

CACHED_CHOICES = 4096
"""Cached choices of pools by tier, workload and model; clients choose the model, so their number is bounded."""


class TierRoutingMiddleware:
    """Chooses the gateways of a request. The `X-Tollgate-*` headers it adds are for gateways that log them."""

    def __init__(self, app: ASGIApp, *, routing: Routing, fleet: Fleet, models: Iterable[str]) -> None:
        """Take in `models` the chat models that `GET /v1/models` lists."""
        self.app = app
        self.models = frozenset(models)
        self.pools = lru_cache(CACHED_CHOICES)(partial(choose_pools, rules_in_force(routing, fleet)))
        self.tiers = routing.tiers
        self.fleet = fleet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the exchange's gateways, best first, or refuse where there is none (404, 503)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange: Exchange = scope["tollgate.exchange"]
        principal, route = exchange.principal, exchange.route
        assert principal is not None and route is not None  # noqa: S101, PT018 - auth and edge stand before this stage
        if route.answered_by is AnsweredBy.MODEL_LIST:
            await send_models(self.models, principal, send)
            return
        exchange.tier = principal.plan.tier
        named = exchange.fallback.fallback.pool if exchange.fallback else None
        pools = (named,) if named else self.pools(exchange.tier, route.workload, exchange.declared.model)
        if exchange.affinity is None:
            exchange.pool, exchange.gateways = self.fleet.candidates(pools)
        else:
            await self._follow_affinity(exchange, exchange.affinity, pools)
        self._prepare(exchange, pools)
        await self.app(scope, receive, send)

    def _prepare(self, exchange: Exchange, pools: tuple[str, ...]) -> None:
        """Add hints and headers for the chosen gateways. Raises `Refusal` (503) where there are none."""
        principal, route = exchange.principal, exchange.route
        assert principal is not None and route is not None  # noqa: S101, PT018 - auth and edge stand before this stage
        if not exchange.gateways:
            raise Refusal(
                503,
                "no_gateway",
                "No gateway can take this request right now. Nothing was forwarded and nothing is charged.",
                headers=[(b"retry-after", b"%d" % self.fleet.retry_after(pools))],
            )
        if route.hints is not Hints.NONE:
            self._add_hints(exchange, route, principal.plan.transcoding)
        exchange.headers.append((b"x-tollgate-tier", exchange.tier.encode()))
        exchange.headers.append((b"x-tollgate-app", principal.app.encode()))

    async def _follow_affinity(self, exchange: Exchange, affinity: Affinity, pools: tuple[str, ...]) -> None:
        """Choose the gateway of the named resource, whatever its pool; another one only for a movable resource.

        What cannot move goes to its gateway even while that is ejected: nobody else has it, and whether the gateway
        responds is found out best by the request itself. Raises `Refusal` (404) if the gateway is not configured.
        """
        url, pool = affinity.gateway, ""
        others: tuple[str, ...] = ()
        if affinity.movable:
            pool, others = self.fleet.candidates(pools)
        if (others or not affinity.movable) and not self.fleet.is_healthy(url):
            url = await affinity.reassign(others)
        if url in self.fleet.gateways:
            exchange.pool = pool if url in others else self.fleet.pool_of(url)
            exchange.gateways = (url, *(other for other in others if other != url))
        elif not affinity.movable:
            raise Refusal(404, "unknown_id", "The gateway that had this is not there any more.")

    def _add_hints(self, exchange: Exchange, route: Route, transcoding: Transcoding) -> None:
        tier = self.tiers.get(exchange.tier, Tier())
        if route.hints is Hints.JOB and exchange.job is not None:
            exchange.headers.append((b"livepeer", job_header(exchange.job, tier, exchange.request_id)))
        elif route.hints is Hints.ORCHESTRATOR:
            exchange.target = live_target(exchange.target, tier)
        elif route.hints is Hints.PROFILES and transcoding.profiles:
            exchange.headers.append((b"livepeer-transcode-configuration", transcoding.configuration))
