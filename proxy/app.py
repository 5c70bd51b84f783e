"""The pipeline, in the order a request meets it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from config.settings import Settings
from middlewares.auth.middleware import AuthMiddleware
from middlewares.auth.ports import CredentialCache
from middlewares.edge.middleware import EdgeMiddleware
from middlewares.exchange import Exchange
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.sessions.sessions import Sessions
from middlewares.live.byoc_streams import ByocStreams
from middlewares.live.middleware import ByocStreamMiddleware, LiveMiddleware
from middlewares.live.stream_tokens import StreamTokenSigner
from middlewares.rate_limit.middleware import RateLimitMiddleware
from middlewares.request_id import RequestIds
from middlewares.response.log import RequestLog
from middlewares.response.metrics import RequestMetrics
from middlewares.response.middleware import ResponseMiddleware
from middlewares.tenancy.affinity_table import AffinityTable
from middlewares.tenancy.middleware import TenancyMiddleware
from middlewares.tenancy.names import for_caller
from middlewares.tier_routing.fleet import Fleet
from middlewares.tier_routing.middleware import TierRoutingMiddleware
from middlewares.usage_tracker.middleware import UsageTrackerMiddleware


def pipeline(
    forwarder: ASGIApp,
    settings: Settings,
    *,
    credentials: CredentialCache,
    ledger: Ledger,
    sessions: Sessions,
    streams: ByocStreams,
    affinity_table: AffinityTable,
    fleet: Fleet,
    metrics: RequestMetrics,
) -> ASGIApp:
    """The stages around `forwarder`, first to last."""
    secret = settings.webhooks.secret
    log = RequestLog(settings.log, soon=asyncio.get_running_loop().call_soon)
    stream_tokens = StreamTokenSigner(secret.get_secret_value().encode()) if secret else None
    stages: list[Callable[[ASGIApp], ASGIApp]] = [
        # Outermost, for a refusal by any stage is an answer too: one shape, one log line, one set of metrics.
        partial(ResponseMiddleware, cors=settings.edge.cors, log=log, metrics=metrics),
        # Before anything trusts a byte of the request. Knows the route, hence what the next stages decide about.
        partial(EdgeMiddleware, settings=settings.edge),
        # Before a body is read: strangers cost a hash, not memory.
        partial(AuthMiddleware, credentials=credentials),
        # Once it is known who publishes; before the limits, for whoever has used up theirs may still end a stream.
        partial(LiveMiddleware, sessions=sessions, names=for_caller, stream_tokens=stream_tokens),
        # Before the gateway is chosen or dialled: what is refused here costs the operator nothing.
        partial(RateLimitMiddleware, ledger=ledger),
        # Right inside the hold it must end, whatever happens further in.
        partial(UsageTrackerMiddleware, ledger=ledger),
        # Inside the stage that settles: the session of a stream takes over the hold of its start.
        partial(ByocStreamMiddleware, streams=streams),
        # Inside the limits, so that guessing other tenants' ids is no cheaper than anything else; before the gateway is
        # chosen, for what a request names lives at one.
        partial(
            TenancyMiddleware,
            affinity_table=affinity_table,
            single_gateway=len(fleet.gateways) == 1,
            public_url=settings.public_url,
            media_url=settings.media_url,
        ),
        # Last, so that the choice rests on health and load of this very moment.
        partial(TierRoutingMiddleware, routing=settings.routing, fleet=fleet, models=settings.chat_models()),
    ]
    app = forwarder
    for stage in reversed(stages):
        app = stage(app)
    return ExchangeMiddleware(app)


class ExchangeMiddleware:
    """Opens the exchange of each request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._ids = RequestIds()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Everything that follows finds the exchange in the scope."""
        if scope["type"] == "http":
            scope["tollgate.exchange"] = Exchange(self._ids.mint(), time.monotonic(), scope["method"], scope["path"])
        return self._app(scope, receive, send)
