"""Live video-to-video: whether a stream may begin, and the heartbeat by which it is charged and ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import structlog

from config.webhooks import WebhookSettings
from middlewares.client_text import check_length
from middlewares.exchange import Principal, Refusal
from middlewares.json_codec import nested_too_deeply
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.concurrency import gather_bounded
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.sessions.sessions import LIVE, Sessions, SessionSnapshot
from middlewares.live.stream_tokens import PARAMETER, StreamTokenSigner
from middlewares.rate_limit.refusal import limit_refusal
from middlewares.store import ScriptRunner
from middlewares.stream_scope import check_stream
from middlewares.tenancy.names import at_gateway, owner_and_name
from proxy.identity.principal_resolver import PrincipalResolver, check_model
from proxy.webhooks.metrics import LiveMetrics
from proxy.webhooks.requests import NAME, StreamRequest, credential_of, query_of

FORBIDDEN_PARAMETERS = ("orchestrator", "rtmpOutput")
"""Parameters that an ingest URL must not have: no response overrides them (gateway contract section 1.4)."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.live")

Policies = Callable[[Principal], Policy]


class Publisher(NamedTuple):
    """The principal that begins a stream, and what it requested."""

    principal: Principal
    stream: str
    """Name and id of the stream at the gateway."""
    pipeline: str
    """Requested pipeline; empty: none."""
    request: str = ""
    """Id of the WHIP request that the proxy forwarded; empty where the stream did not pass through the proxy."""


class LiveWebhooks:
    """Decides about live streams: which may begin, and which must end. All methods raise `StoreError`."""

    def __init__(
        self,
        principals: PrincipalResolver,
        sessions: Sessions,
        policies: Policies,
        stream_tokens: StreamTokenSigner | None,
        metrics: LiveMetrics,
    ) -> None:
        """Without `stream_tokens` no stream token is valid."""
        self._principals = principals
        self._sessions = sessions
        self._policies = policies
        self._stream_tokens = stream_tokens
        self._metrics = metrics

    async def authorise(self, request: StreamRequest) -> dict[str, Any]:
        """Begin a stream. Return its id in its owner's namespace, its pipeline and parameters. Raises `Refusal`."""
        try:
            document = await self._begin(request)
        except Refusal as refusal:
            self._metrics.refused.labels(refusal.code).inc()
            raise
        self._metrics.begun.inc()
        return document

    async def _begin(self, request: StreamRequest) -> dict[str, Any]:
        query = query_of(request.query_params)
        principal, stream, pipeline, began_by = await self._publisher(request, query)
        defaults = principal.plan.live
        pipeline = pipeline or defaults.pipeline or ""
        check_model(principal, pipeline)
        check_stream(principal, stream)
        parameters = {**defaults.parameters, **_parameters(query.get("params", ""))}
        denied = await self._sessions.begin(stream, self._policies(principal), pipeline, request=began_by)
        if denied:
            raise limit_refusal(denied)
        log.info("live_began", app=principal.app, stream=stream, pipeline=pipeline)
        document: dict[str, Any] = {"stream_id": stream}
        if pipeline:
            document["pipeline"] = pipeline
        if parameters:
            document["pipeline_parameters"] = parameters
        return document

    async def _publisher(self, request: StreamRequest, query: dict[str, str]) -> Publisher:
        if PARAMETER in query:
            token = self._stream_tokens.read(query[PARAMETER], time.time()) if self._stream_tokens else None
            if token is None or token.stream != request.stream:
                raise Refusal(401, "invalid_credentials", "The stream token is not valid, or has expired.")
            principal = await self._principals.again(token.app, token.user, token.key, token.plan, LIVE)
            return Publisher(principal, token.stream, token.pipeline, token.request)
        if forbidden := next((name for name in FORBIDDEN_PARAMETERS if name in query), None):
            raise Refusal(403, "invalid_parameter", f"Clients may not set the parameter `{forbidden}`.")
        credential = credential_of(query) or (request.stream_key or request.stream).encode()
        principal = await self._principals.by_credential(credential, LIVE)
        pipeline = query.get("pipeline", "")
        check_length("pipeline", pipeline)
        return Publisher(principal, _stream_id(principal, request.stream, credential), pipeline)

    async def heartbeat(self, streams: list[str]) -> list[str]:
        """Charge each of these running streams for the time since its last report; return those that must end.

        A stream that was never authorised is among them.
        """
        reported = [stream for stream in dict.fromkeys(streams) if stream]
        may_continue = await gather_bounded(self._tick, reported)
        return [stream for stream, continues in zip(reported, may_continue, strict=True) if not continues]

    async def _tick(self, stream: str) -> bool:
        """Charge one stream. True: it may continue."""
        owner = owner_and_name(stream)
        found = await self._sessions.find(owner[0], stream) if owner else None
        if found is None:
            return self._end(stream, "unknown_stream")
        policy, reason = await self._current_policy(found)
        return await self._sessions.tick(found, policy) or self._end(stream, reason)

    def _end(self, stream: str, reason: str) -> bool:
        self._metrics.ended.labels(reason).inc()
        log.info("live_ended", stream=stream, reason=reason)
        return False

    async def _current_policy(self, found: SessionSnapshot) -> tuple[Policy | None, str]:
        """Return the policy its principal has now, or None if it may not continue; and why it ends, if it does."""
        try:
            principal = await self._principals.current(found.session.hold)
            check_stream(principal, found.session.stream)
        except Refusal as refusal:
            return None, refusal.code
        return self._policies(principal), "limit_reached"


def _stream_id(principal: Principal, name: str, credential: bytes) -> str:
    """Return the id of a stream that did not pass through the proxy. Raises `Refusal`.

    Gateways know streams by their names (gateway contract section 9.7), so that a name without its owner's could be
    anybody's. A name that is the credential itself is nobody else's, and never becomes an id.
    """
    if credential == name.encode():
        return at_gateway(principal.app, principal.key or "live")
    owner = owner_and_name(name)
    if owner is None or owner[0] != principal.app or not NAME.fullmatch(name):
        expected = at_gateway(principal.app, "<name>")
        raise Refusal(
            403, "invalid_parameter", f"The stream must be called `{expected}` here: letters, digits, `.`, `_`, `-`."
        )
    return name


def _parameters(text: str) -> dict[str, Any]:
    """Return the pipeline parameters in `params` of an ingest URL's query. Raises `Refusal`."""
    try:
        if nested_too_deeply(text.encode(errors="replace")):
            raise ValueError
        return msgspec.json.decode(text, type=dict[str, Any]) if text else {}
    except ValueError:
        raise Refusal(400, "invalid_parameter", "`params` must be a JSON object.") from None


def sessions_of(settings: WebhookSettings, runner: ScriptRunner, keys: RedisKeys) -> Sessions:
    """Return the live sessions, with the tick and the gap of these settings."""
    tick, gap = round(settings.tick_seconds * 1000), round(settings.gap_seconds * 1000)
    return Sessions(runner, keys, tick=tick, gap=gap)
