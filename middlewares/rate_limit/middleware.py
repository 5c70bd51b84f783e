"""The rate limit stage: admits or refuses a request by one atomic call to the ledger, or by two around its body."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from middlewares.exchange import Exchange, Principal, Refusal
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Admitted, ClaimLost, Denied, LedgerUnavailable
from middlewares.rate_limit.refusal import claim_lost, limit_refusal, store_unavailable
from middlewares.routing.route import Route


class RateLimitMiddleware:
    """Opens the hold of a request, or refuses it by the first limit that is exceeded.

    What a request declares costs nothing to read where it stands in a small body, and one call then decides. A larger
    body is not read before the limits are asked (`Ledger.enter`): a second call decides about caps and balance.
    """

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
        policy = self.ledger.policy(
            principal.app,
            principal.user,
            principal.key,
            principal.plan_name,
            principal.plan,
            terms=principal.key_terms,
        )
        if not route.takes_slot:
            policy = policy.beside_work
        exchange.policy = policy
        if not exchange.declares_late:
            await self._admit(exchange, principal, route, policy)
            await self.app(scope, receive, send)
            return
        try:
            decided = await self.ledger.enter(
                exchange.request_id, policy, route.workload, store_lost=exchange.store_lost
            )
        except LedgerUnavailable:
            raise store_unavailable(close=True) from None
        entry = _admitted(exchange, decided, close=True)  # a refusal ends the connection: nobody reads the body
        exchange.entry = entry.hold
        try:
            exchange.store_lost |= entry.hold.local
            exchange.limit_states = entry.limit_states
            await self._admit(exchange, principal, route, policy.after_body)
            await self.app(scope, receive, send)
        finally:  # after the usage tracker has settled
            self.ledger.release(entry.hold)

    async def _admit(self, exchange: Exchange, principal: Principal, route: Route, policy: Policy) -> None:
        """Read what the request declares, and open its hold. Raises `Refusal`."""
        exchange.declared = declared = await exchange.declare()
        model = declared.model or ""
        request = exchange.idempotent
        if principal.models is not None and (model or route.begins_work):
            _check_model(principal.models, model)
        try:
            decided = await self.ledger.admit(
                exchange.request_id,
                policy,
                workload=route.workload,
                model=model,
                units=declared.units,
                claim=request.claim if request else None,
                store_lost=exchange.store_lost,
            )
        except LedgerUnavailable:
            raise store_unavailable() from None
        except ClaimLost:
            raise claim_lost() from None
        admitted = _admitted(exchange, decided)
        exchange.hold = admitted.hold
        if request:
            request.claim = None  # the hold has it
        states = admitted.limit_states
        if exchange.limit_states:  # of the entry; caps and balance stand differently now
            known = {state.policy for state in states}
            states = (*(state for state in exchange.limit_states if state.policy not in known), *states)
        exchange.limit_states = states


def _admitted(exchange: Exchange, decided: Admitted | Denied, *, close: bool = False) -> Admitted:
    """Return the admission. Raises `Refusal` for a denial, which with `close` ends the connection."""
    if isinstance(decided, Denied):
        exchange.denied = decided
        exchange.limit_states = (decided.limit_state,)
        raise limit_refusal(decided, close=close)
    return decided


def _check_model(allowed: frozenset[str], model: str) -> None:
    """Raise `Refusal` (403) for a model that the credential may not use; empty: the request names none."""
    if model not in allowed:
        raise Refusal(
            403,
            "insufficient_scope",
            f"This credential may not use model {model!r}." if model else "This credential needs a named model.",
            members={"allowed_models": sorted(allowed)},
        )
