"""The rate limit stage: admits or refuses a request by one atomic call to the ledger."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from middlewares.exchange import Exchange, Refusal
from middlewares.ledger.ledger import Ledger, LedgerUnavailable
from middlewares.ledger.model import Denied
from middlewares.rate_limit.refusal import limit_refusal, store_unavailable


class RateLimitMiddleware:
    """Opens the hold of a request, or refuses it by the first limit that is exceeded."""

    def __init__(self, app: ASGIApp, *, ledger: Ledger) -> None:
        self.app = app
        self.ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit the request and pass it on; the usage tracker settles its hold."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange: Exchange = scope["tollgate.exchange"]
        principal, route = exchange.principal, exchange.route
        assert principal is not None and route is not None  # noqa: S101, PT018 - auth and edge stand before this stage
        exchange.declared = declared = await exchange.declare()
        model = declared.model or ""
        if principal.models is not None and (model or route.begins_work):
            _check_model(principal.models, model)
        policy = self.ledger.policy(principal.app, principal.user, principal.key, principal.plan_name, principal.plan)
        if not route.takes_slot:
            policy = policy.beside_work
        exchange.policy = policy
        try:
            decision = await self.ledger.admit(
                exchange.request_id,
                policy,
                workload=route.workload,
                model=model,
                units=declared.units,
                store_lost=exchange.store_lost,
            )
        except LedgerUnavailable:
            raise store_unavailable() from None
        if isinstance(decision, Denied):
            exchange.limit_states = (decision.limit_state,)
            raise limit_refusal(decision)
        exchange.hold = decision.hold
        exchange.limit_states = decision.limit_states
        await self.app(scope, receive, send)


def _check_model(allowed: frozenset[str], model: str) -> None:
    """Raise `Refusal` (403) for a model that the credential may not use; empty: the request names none."""
    if model not in allowed:
        raise Refusal(
            403,
            "insufficient_scope",
            f"This credential may not use model {model!r}." if model else "This credential needs a named model.",
            members={"allowed_models": sorted(allowed)},
        )
