"""The webhooks as routes of the private listener, in the supervisor, which outlives every worker."""

from __future__ import annotations

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.issuers import Issuer
from config.settings import Settings
from middlewares.exchange import Principal, Refusal
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.sessions.signer_sessions import SignerSessions
from middlewares.live.stream_tokens import StreamTokenSigner
from middlewares.store import ScriptRunner, StoreError
from proxy.control.blocked_orchestrators import BlockedOrchestrators
from proxy.control.records import Client
from proxy.identity.authentication import Authentication
from proxy.identity.principal_resolver import PrincipalResolver
from proxy.webhooks.live import LiveWebhooks, sessions_of
from proxy.webhooks.metrics import LiveMetrics
from proxy.webhooks.orchestrators import OrchestratorLists
from proxy.webhooks.push import PushWebhooks
from proxy.webhooks.requests import refusal_response, shows_secret
from proxy.webhooks.signer import SignerWebhooks
from proxy.webhooks.table import GATEWAYS, WEBHOOKS, Secret, Services, Webhook

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.webhooks")


class Webhooks:
    """Serves the webhooks of the table, between `configure` and `close`."""

    def __init__(self, runner: ScriptRunner, redis: Client, keys: RedisKeys, metrics: LiveMetrics) -> None:
        self._runner = runner
        self._redis = redis
        self._keys = keys
        self._metrics = metrics
        self._authentication: Authentication | None = None
        self._lists: OrchestratorLists | None = None
        self._secrets: dict[Secret, bytes] = {}
        """Those that are set; empty while no webhook is served."""
        self._services: Services

    async def configure(self, settings: Settings, own: Issuer | None = None) -> None:
        """Respond by these settings from now on. `own` is Tollgate's own issuer; None: it issues no tokens."""
        secrets = {
            webhook.secret: secret.get_secret_value().encode()
            for webhook in WEBHOOKS
            if (secret := webhook.secret.read(settings))
        }
        if not secrets:
            await self.close()
            return
        authentication = Authentication(
            settings.auth, settings.all_plans(), store=self._runner, redis=self._redis, own=own
        )
        await authentication.start()
        old, self._authentication = self._authentication, authentication
        lists = OrchestratorLists(settings.webhooks.discovery.tiers, BlockedOrchestrators(self._redis), self._metrics)
        lists.start()
        old_lists, self._lists = self._lists, lists
        principals = PrincipalResolver(authentication.resolver)
        sessions = sessions_of(settings.webhooks, self._runner, self._keys)
        stream_tokens = StreamTokenSigner(secrets[GATEWAYS]) if GATEWAYS in secrets else None
        self._services = Services(
            live=LiveWebhooks(principals, sessions, self._policy, stream_tokens, self._metrics),
            push=PushWebhooks(principals, rtmp=settings.webhooks.rtmp_transcoding),
            signer=SignerWebhooks(
                principals,
                SignerSessions(self._runner, self._keys),
                self._policy,
                settings=settings.webhooks.signer,
                metrics=self._metrics,
            ),
            orchestrators=lists,
        )
        self._secrets = secrets
        if old:
            await old.stop()
        if old_lists:
            await old_lists.stop()

    async def close(self) -> None:
        """Serve no webhook any more."""
        self._secrets = {}
        if self._lists:
            await self._lists.stop()
            self._lists = None
        if self._authentication:
            await self._authentication.stop()
            self._authentication = None

    def routes(self) -> list[Route]:
        """Return the routes for the private listener, one for each row of the table."""
        return [self._route(webhook) for webhook in WEBHOOKS]

    def _route(self, webhook: Webhook) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                self._check_secret(webhook.secret, request)
            except Refusal as refusal:
                return refusal_response(refusal)
            try:
                document = await webhook.handler(self._services, request)
            except Refusal as refusal:
                log.info("webhook_denied", path=webhook.path, code=refusal.code, detail=refusal.detail)
                return refusal_response(refusal)
            except StoreError:
                return refusal_response(Refusal(503, "store_unavailable", "Redis is not available right now."))
            return Response() if document is None else JSONResponse(document)

        return Route(webhook.path, endpoint, methods=[webhook.method])

    def _check_secret(self, secret: Secret, request: Request) -> None:
        """Raise `Refusal`: 404 while the secret is not set, 401 for a request that does not show it."""
        expected = self._secrets.get(secret)
        if expected is None:
            raise Refusal(404, "not_found", f"This webhook is not served: `{secret.setting}` is not set.")
        if not shows_secret(request, expected):
            raise Refusal(401, "missing_credentials", f"Show the secret of `{secret.setting}`.")

    def _policy(self, principal: Principal) -> Policy:
        return Policy(
            self._keys,
            app=principal.app,
            user=principal.user,
            key=principal.key,
            name=principal.plan_name,
            plan=principal.plan,
            terms=principal.key_terms,
        )
