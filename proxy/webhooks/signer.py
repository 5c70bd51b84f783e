"""Remote signers: whether a caller may be paid for, as whom, until when and at which price (`CONTRACT.md` section 5.5).

The HTTP status says whether the webhook works, and is 200 for every decision; the `status` in the body is the signer's
response to its caller. So a refusal is a document like any other here.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Any

import structlog

from config.webhooks import SignerWebhook
from config.workloads import Workload
from middlewares.auth.middleware import presented
from middlewares.auth.verdict import Grant
from middlewares.client_text import check_length
from middlewares.exchange import Principal, Refusal
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.sessions.signer_sessions import SignerSessions
from middlewares.rate_limit.refusal import limit_refusal
from middlewares.store import StoreError
from proxy.identity.principal_resolver import PrincipalResolver, check_model
from proxy.webhooks.metrics import LiveMetrics
from proxy.webhooks.requests import SignerRequest, SignerState

UNITS = {"live": "seconds", "lv2v": "720p-pixel-seconds", "fixed": "fixed"}
"""The unit in which a signer takes the price ceiling of each kind of payment; any other is a fault there."""
INSUFFICIENT_BALANCE = 483
"""What callers of a signer read as an empty wallet; 480 to 482 are the signer's own words."""
OWN = "app"
"""What stands for the user in the `auth_id` of an app's own credential: an empty name stops collectors."""

_SESSION = re.compile(r"[A-Za-z0-9._-]{1,128}")

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.signer")


class SignerWebhooks:
    """Decides about the payments of remote signers."""

    def __init__(
        self,
        principals: PrincipalResolver,
        sessions: SignerSessions,
        policies: Callable[[Principal], Policy],
        *,
        settings: SignerWebhook,
        metrics: LiveMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` tells the time in Unix seconds, as the signer compares expiries with it."""
        self._principals = principals
        self._sessions = sessions
        self._policies = policies
        self._settings = settings
        self._metrics = metrics
        self._clock = clock

    async def authorise(self, request: SignerRequest) -> dict[str, Any]:
        """Return the document that lets the signer pay, or the one that it refuses its caller with."""
        try:
            document = await self._decide(request)
        except Refusal as refusal:
            document = _refused(refusal.status, refusal.code, refusal.detail)
        except StoreError:
            document = _refused(503, "store_unavailable", "Credentials and limits cannot be checked right now.")
        self._metrics.signer_decisions.labels(document.get("code", "allowed")).inc()
        return document

    async def _decide(self, request: SignerRequest) -> dict[str, Any]:
        state = request.state
        if state is None or not _SESSION.fullmatch(state.state_id):
            raise Refusal(400, "invalid_parameter", "Expected the signer's state with a `StateID`.")
        check_length("App", state.app)
        workload = Workload.BYOC if state.type in ("live", "fixed") else Workload.LIVE_VIDEO_TO_VIDEO
        grant = await self._principals.grant(presented(_headers(request)), workload)
        principal = grant.principal
        check_model(principal, state.app)
        if principal.streams is not None:
            raise Refusal(403, "stream_not_allowed", "The key is limited to streams, and a signer reports none.")
        auth_id = f"{principal.app}:{principal.user or OWN}"
        if state.auth_id not in ("", auth_id):
            raise Refusal(403, "invalid_parameter", "The session was begun by another identity; begin a new one.")
        policy = self._policies(principal).keeping(self._settings.minimum_balance)
        seconds = self._settings.prepaid_expiry_seconds if policy.prepaid_or_capped else self._settings.expiry_seconds
        denied = await self._sessions.admit(state.state_id, policy, workload, state.app, milliseconds=seconds * 1000)
        if denied:
            raise limit_refusal(denied)
        document: dict[str, Any] = {"status": 200, "expiry": self._expiry(grant, seconds), "auth_id": auth_id}
        if ceiling := _max_price(principal, state):
            document["maxPrice"] = ceiling
        return document

    def _expiry(self, grant: Grant, seconds: int) -> int:
        """Return until which Unix second the signer need not ask again; it still trusts that second itself."""
        expiry = math.floor(self._clock()) + seconds
        return expiry if grant.expires_at is None else min(expiry, math.ceil(grant.expires_at) - 1)


def _headers(request: SignerRequest) -> list[tuple[bytes, bytes]]:
    """Return the caller's headers as a request of Tollgate's own would have them."""
    named = (request.headers or {}).items()
    return [(name.lower().encode(), value.encode()) for name, values in named for value in values or ()]


def _max_price(principal: Principal, state: SignerState) -> dict[str, Any] | None:
    """Return the plan's ceiling for this kind of payment; None where it has none, or the kind has no unit."""
    unit = UNITS.get(state.type)
    price = getattr(principal.plan.signer.max_price, state.type) if unit else None
    return None if price is None else {"price": price, "currency": "wei", "unit": unit}


def _refused(status: int, code: str, reason: str) -> dict[str, Any]:
    if code == "insufficient_balance":
        status = INSUFFICIENT_BALANCE
    log.info("signer_refused", status=status, code=code)
    return {"status": status, "reason": reason, "code": code}
