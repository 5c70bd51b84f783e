"""Principal and workload in, an admitted request or a refusal out: one atomic call to the ledger."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from config.workloads import Workload
from middlewares.exchange import Exchange, Refusal
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Denied, LedgerUnavailable
from middlewares.rate_limit.refusal import refusal_of, unavailable

STREAMED = frozenset({Workload.LIVE_VIDEO_TO_VIDEO, Workload.BYOC})
"""A stream has its place among the concurrent requests: what is asked of it, its stop above all, needs no other."""


class RateLimitMiddleware:
    """Opens the hold of a request, or says which limit refuses it."""

    def __init__(self, app: ASGIApp, *, ledger: Ledger) -> None:
        self._app = app
        self._ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit the request; the hold is then the usage tracker's to end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange: Exchange = scope["tollgate.exchange"]
        principal, route = exchange.principal, exchange.route
        assert principal is not None and route is not None  # noqa: S101, PT018 - auth and edge stand before this stage
        exchange.declared = declared = await exchange.declare()
        model = declared.model or ""
        if principal.models is not None and (model or route.begins_work):
            _check_model(principal.models, model)
        policy = self._ledger.policy(principal.app, principal.user, principal.key, principal.plan_name, principal.plan)
        if not route.begins_work and route.workload in STREAMED:
            policy = policy.beside_work
        exchange.policy = policy
        try:
            decision = await self._ledger.admit(
                exchange.request_id,
                policy,
                workload=route.workload,
                model=model,
                units=declared.units,
                store_lost=exchange.store_lost,
            )
        except LedgerUnavailable:
            raise unavailable() from None
        if isinstance(decision, Denied):
            exchange.limit_states = (decision.limit_state,)
            raise refusal_of(decision)
        exchange.hold = decision.hold
        exchange.limit_states = decision.limit_states
        await self._app(scope, receive, send)


def _check_model(allowed: frozenset[str], model: str) -> None:
    if model not in allowed:
        raise Refusal(
            403,
            "insufficient_scope",
            f"This credential may not use model {model!r}." if model else "This credential needs a named model.",
            members={"allowed_models": sorted(allowed)},
        )
