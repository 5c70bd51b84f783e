"""The webhooks as routes of the private listener, whose process outlives every worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.settings import Settings
from middlewares.exchange import Principal, Refusal
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.live.stream_tokens import StreamTokenSigner
from middlewares.store import ScriptRunner, StoreError
from proxy.control.records import Client
from proxy.identity.authentication import Authentication
from proxy.identity.principal_resolver import PrincipalResolver
from proxy.webhooks.live import LiveWebhooks, sessions_of
from proxy.webhooks.metrics import LiveMetrics
from proxy.webhooks.push import PushWebhooks
from proxy.webhooks.requests import Heartbeat, PushRequest, StreamRequest, body_of, denied, is_from_gateway

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.webhooks")

Answer = Callable[[Request], Awaitable[object]]


class Webhooks:
    """Answers gateways, between `configure` and `close`."""

    def __init__(self, runner: ScriptRunner, redis: Client, keys: RedisKeys, metrics: LiveMetrics) -> None:
        self._runner = runner
        self._redis = redis
        self._keys = keys
        self._metrics = metrics
        self._authentication: Authentication | None = None
        self._secret = b""

    async def configure(self, settings: Settings) -> None:
        """Answer by these settings from now on."""
        secret = settings.webhooks.secret
        if secret is None:
            await self.close()
            return
        authentication = Authentication(settings.auth, settings.all_plans(), store=self._runner, redis=self._redis)
        await authentication.start()
        old, self._authentication = self._authentication, authentication
        principals = PrincipalResolver(authentication.resolver)
        self._secret = secret.get_secret_value().encode()
        sessions = sessions_of(settings.webhooks, self._runner, self._keys)
        self._live = LiveWebhooks(principals, sessions, self._policy, StreamTokenSigner(self._secret), self._metrics)
        self._push = PushWebhooks(principals, rtmp=settings.webhooks.rtmp_transcoding)
        if old:
            await old.stop()

    async def close(self) -> None:
        """Answer nobody any more."""
        self._secret = b""
        if self._authentication:
            await self._authentication.stop()
            self._authentication = None

    def routes(self) -> list[Route]:
        """For the private listener."""
        return [
            self._route("/webhooks/live/auth", self._authorise_live),
            self._route("/webhooks/live/heartbeat", self._beat),
            self._route("/webhooks/auth", self._authorise_push),
        ]

    async def _authorise_live(self, request: Request) -> object:
        return await self._live.authorise(await body_of(request, StreamRequest))

    async def _beat(self, request: Request) -> object:
        heartbeat = await body_of(request, Heartbeat)
        ended = await self._live.beat(heartbeat.ids or [])
        return {"terminatedStreamIds": ended} if ended else {}

    async def _authorise_push(self, request: Request) -> object:
        return await self._push.authorise((await body_of(request, PushRequest)).url)

    def _route(self, path: str, answer: Answer) -> Route:
        async def endpoint(request: Request) -> Response:
            if not self._secret:
                return denied(Refusal(404, "not_found", "No webhook is answered: `webhooks.secret` is not set."))
            if not is_from_gateway(request, self._secret):
                return denied(Refusal(401, "missing_credentials", "Show the secret of `webhooks.secret`."))
            try:
                said = await answer(request)
                return Response() if said is None else JSONResponse(said)
            except Refusal as refusal:
                log.info("webhook_denied", path=path, code=refusal.code, detail=refusal.detail)
                return denied(refusal)
            except StoreError:
                return denied(Refusal(503, "store_unavailable", "Redis cannot be asked right now."))

        return Route(path, endpoint, methods=["POST"])

    def _policy(self, principal: Principal) -> Policy:
        return Policy(
            self._keys,
            app=principal.app,
            user=principal.user,
            key=principal.key,
            name=principal.plan_name,
            plan=principal.plan,
        )
