"""The public application: the response stage, then the door to control surfaces or to the stages of the pipeline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from config.access import Cors
from config.settings import Settings
from middlewares.auth.middleware import AuthMiddleware, failure_limit
from middlewares.auth.ports import CredentialCache
from middlewares.body_buffers import BodyBuffers
from middlewares.edge.middleware import EdgeMiddleware
from middlewares.exchange import Exchange, Refusal
from middlewares.idempotency.claims import Claims
from middlewares.idempotency.middleware import IdempotencyMiddleware, replay_limit
from middlewares.large_json import LargeJson
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.sessions.sessions import Sessions
from middlewares.live.byoc_streams import ByocStreams
from middlewares.live.middleware import ByocStreamMiddleware, LiveMiddleware
from middlewares.live.stream_tokens import StreamTokenSigner
from middlewares.rate_limit.middleware import RateLimitMiddleware
from middlewares.request_id import RequestIds
from middlewares.response.log import RequestLog
from middlewares.response.metrics import RequestMetrics
from middlewares.response.middleware import ResponseMiddleware, not_recorded
from middlewares.tenancy.affinity_table import AffinityTable
from middlewares.tenancy.middleware import TenancyMiddleware
from middlewares.tenancy.names import for_caller
from middlewares.tier_routing.fleet import Fleet
from middlewares.tier_routing.middleware import TierRoutingMiddleware
from middlewares.usage_tracker.media.peek import Peek
from middlewares.usage_tracker.media.picture import picture
from middlewares.usage_tracker.media_probe import MediaTools
from middlewares.usage_tracker.middleware import UsageTrackerMiddleware
from proxy.api.application import control_application
from proxy.api.door import Door, Surface
from proxy.api.edge import ControlEdgeMiddleware, portal_request_limit, request_limit, token_request_limit

ADMIN_LABEL = "admin-api"
"""Route label of the admin API in logs and metrics."""


class ControlApplications(NamedTuple):
    """The applications of the control plane, handed in: what they are made of is loaded by no module of the data path.

    Each refuses what it does not serve with 404.
    """

    api: ASGIApp
    """Serves `/api/v1`."""
    oidc: ASGIApp
    """Serves `/api/v1/oidc`."""
    well_known: ASGIApp
    """Serves `/.well-known`."""
    admin: ASGIApp
    """Serves `/api/v1/admin`, where it is configured for the public listener."""
    llms: ASGIApp
    """Serves `/llms.txt`."""
    verify: ASGIApp
    """Serves `/api/v1/verify`."""
    portal: ASGIApp
    """Serves `/portal`, and shows what its edge refuses: `tollgate.refusal` in the scope."""


def nothing_served() -> ControlApplications:
    """Return applications that serve nothing."""
    return ControlApplications(*(control_application(()) for _ in ControlApplications._fields))


def public_application(
    pipeline: ASGIApp,
    settings: Settings,
    metrics: RequestMetrics,
    control: ControlApplications,
    *,
    on_refusal: Callable[[Exchange, Refusal], None] = not_recorded,
) -> ASGIApp:
    """Return the application of the public listener around `pipeline`; `on_refusal` is told of each refusal."""
    log = RequestLog(settings.log, soon=asyncio.get_running_loop().call_soon)
    door = Door(pipeline, control_surfaces(pipeline, settings, control))
    # Outermost: whatever refuses a request, the client gets one shape of problem document, one log line, one metric.
    return ExchangeMiddleware(
        ResponseMiddleware(door, cors=settings.edge.cors, log=log, metrics=metrics, on_refusal=on_refusal)
    )


def control_surfaces(pipeline: ASGIApp, settings: Settings, control: ControlApplications) -> Sequence[Surface]:
    """Return the control surfaces; the first row that matches a request target decides."""
    edge = partial(
        ControlEdgeMiddleware,
        settings=settings.control,
        trusted_proxies=settings.edge.trusted_proxies,
    )
    requests = request_limit(settings.control.requests_per_minute)
    pages = portal_request_limit(settings.portal.requests_per_minute)
    tokens = token_request_limit(settings.control.token_requests_per_minute)
    return (
        Surface(b"/api/v1/inference", "", pipeline),  # aliases of the gateway's batch routes
        Surface(b"/api/v1/oidc", "oidc", edge(control.oidc, address_limit=tokens)),
        Surface(b"/api/v1/admin", ADMIN_LABEL, edge(control.admin, address_limit=requests)),
        # Other proxies ask before each of their requests, all from one address.
        Surface(b"/api/v1/verify", "verify", edge(control.verify, address_limit=None)),
        Surface(b"/api/v1", "control-api", edge(control.api, address_limit=requests)),
        # Whoever is refused there sits at a browser, and is shown a page.
        Surface(b"/portal", "portal", edge(control.portal, address_limit=pages, shows_refusals=True)),
        Surface(b"/llms.txt", "llms", edge(control.llms, address_limit=requests)),
        Surface(b"/.well-known", "well-known", edge(control.well_known, address_limit=requests)),
    )


def private_surface(admin: ASGIApp, settings: Settings, metrics: RequestMetrics) -> ASGIApp:
    """Return the admin API as the private listener serves it: with edge, problem documents, log line and metrics."""
    log = RequestLog(settings.log, soon=asyncio.get_running_loop().call_soon)
    edge = ControlEdgeMiddleware(
        admin,
        settings=settings.control,
        trusted_proxies=settings.edge.trusted_proxies,
        address_limit=request_limit(settings.control.requests_per_minute),
    )
    door = Door(edge, (Surface(b"/api/v1/admin", ADMIN_LABEL, edge),))
    return ExchangeMiddleware(ResponseMiddleware(door, cors=Cors(), log=log, metrics=metrics))


def pipeline(
    forwarder: ASGIApp,
    settings: Settings,
    *,
    credentials: CredentialCache,
    ledger: Ledger,
    claims: Claims,
    media: MediaTools,
    sessions: Sessions,
    streams: ByocStreams,
    affinity_table: AffinityTable,
    fleet: Fleet,
    used_keys: dict[str, str],
) -> ASGIApp:
    """Return the stages around `forwarder`, listed in the order in which a request meets them.

    Keys that are used are noted in `used_keys`, each with its app.
    """
    secret = settings.webhooks.secret
    buffers = BodyBuffers(settings.edge.buffered_bytes, settings.edge.buffered_bytes_per_app)
    large_json = LargeJson()
    stream_tokens = StreamTokenSigner(secret.get_secret_value().encode()) if secret else None
    stages: list[Callable[[ASGIApp], ASGIApp]] = [
        # Before anything trusts a byte of the request. Knows the route, hence what the next stages decide about.
        partial(
            EdgeMiddleware,
            settings=settings.edge,
            buffers=buffers,
            large_json=large_json,
            picture=partial(Peek, picture),
        ),
        # Before a body is read: a request without a valid credential costs a hash, not memory.
        partial(
            AuthMiddleware,
            credentials=credentials,
            failure_limit=failure_limit(settings.auth.failures_per_minute),
            used=used_keys,
        ),
        # Once the publisher is known; before the limits, because a client that has used up its own may end a stream.
        partial(LiveMiddleware, sessions=sessions, names=for_caller, stream_tokens=stream_tokens),
        # Before the limits: what was done and paid for is given again, whatever is left of them by now.
        partial(
            IdempotencyMiddleware,
            claims=claims,
            response_bytes=settings.idempotency.response_bytes,
            limit=replay_limit(settings.idempotency.replays_per_minute),
        ),
        # Before a large body is read, and before the gateway is chosen or dialled: what is refused here costs little.
        partial(RateLimitMiddleware, ledger=ledger),
        # Right inside the hold it must end, whatever happens further in.
        partial(UsageTrackerMiddleware, ledger=ledger, media=media),
        # Inside the limits, so that guessing other tenants' ids is no cheaper than anything else; before the gateway is
        # chosen, for what a request names lives at one.
        partial(
            TenancyMiddleware,
            affinity_table=affinity_table,
            buffers=buffers,
            large_json=large_json,
            single_gateway=len(fleet.gateways) == 1,
            public_url=settings.public_url,
            media_url=settings.media_url,
        ),
        # As late as possible, so that the choice rests on the latest health and load.
        partial(TierRoutingMiddleware, routing=settings.routing, fleet=fleet, models=settings.chat_models()),
        # Once a new stream has its id and its gateway, which are noted before it is started. Inside the stage that
        # settles: the session of a stream takes over the hold of its start.
        partial(ByocStreamMiddleware, streams=streams),
    ]
    app = forwarder
    for stage in reversed(stages):
        app = stage(app)
    return app


class ExchangeMiddleware:
    """Open the exchange of each request; everything further in finds it in the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["tollgate.exchange"] = Exchange(self._ids.mint(), time.monotonic(), scope["method"], scope["path"])
        await self.app(scope, receive, send)
