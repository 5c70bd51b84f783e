"""The rate limit stage: admits or refuses a request by one atomic call to the ledger, or by two around its body."""

from __future__ import annotations

from collections.abc import Awaitable

from msgspec import structs
from starlette.types import ASGIApp, Receive, Scope, Send

from middlewares.exchange import Exchange, FallbackInUse, Principal, Refusal
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Admitted, ClaimLost, Denied, Hold, LedgerUnavailable
from middlewares.rate_limit.fallback import fallback_of
from middlewares.rate_limit.refusal import claim_lost, limit_refusal, store_unavailable
from middlewares.routing.route import Route
from middlewares.routing.traits import StreamStep


class RateLimitMiddleware:
    """Opens the hold of a request, or refuses it by the first limit that is exceeded.

    What a request declares costs nothing to read where it stands in a small body, and one call then decides. A larger
    body is not read before the limits are asked (`Ledger.enter`): a second call decides about caps and balance. Where
    the plan has a fallback, its limits are asked before a request is refused.
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
            await self._admit(exchange, principal, route, policy, policy)
            await self.app(scope, receive, send)
            return
        exchange.entry = entry = await self._enter(exchange, principal, route, policy)
        try:
            await self._admit(exchange, principal, route, policy, policy.after_body)
            await self.app(scope, receive, send)
        finally:  # after the usage tracker has settled
            self.ledger.release(entry)

    async def _enter(self, exchange: Exchange, principal: Principal, route: Route, policy: Policy) -> Hold:
        """Ask the limits before the body is read; a refusal ends the connection, for nobody reads the body then."""
        try:
            decided = await self._ask_entry(exchange, route, policy)
            if isinstance(decided, Denied) and (fallback := fallback_of(principal, route, decided)):
                exchange.store_lost |= _decided_locally(decided)
                model = fallback.fallback.model or ""
                instead = await self._ask_entry(
                    exchange, route, policy.falling_back(fallback.fallback, route.workload, model)
                )
                if isinstance(instead, Admitted):
                    decided, exchange.fallback = instead, fallback
        except LedgerUnavailable:
            raise store_unavailable(close=True) from None
        entry = _admitted(exchange, decided, close=True)
        exchange.store_lost |= entry.hold.local
        exchange.limit_states = entry.limit_states
        return entry.hold

    def _ask_entry(self, exchange: Exchange, route: Route, policy: Policy) -> Awaitable[Admitted | Denied]:
        return self.ledger.enter(exchange.request_id, policy, route.workload, store_lost=exchange.store_lost)

    async def _admit(
        self, exchange: Exchange, principal: Principal, route: Route, policy: Policy, asked: Policy
    ) -> None:
        """Read what the request declares, and open its hold under `asked`, what of `policy` is not yet asked.

        Raises `Refusal`.
        """
        exchange.declared = declared = await exchange.declare()
        model = declared.model or ""
        if principal.models is not None and (model or route.begins_work):
            _check_model(principal.models, model)
        try:
            if exchange.fallback is not None:
                decided = await self._fall_back(exchange, route, policy, exchange.fallback, entered=True)
            else:
                decided = await self._ask(exchange, route, asked)
                if isinstance(decided, Denied) and (fallback := fallback_of(principal, route, decided)):
                    decided = await self._fall_back(exchange, route, policy, fallback, entered=False)
        except LedgerUnavailable:
            raise store_unavailable() from None
        except ClaimLost:
            raise claim_lost() from None
        admitted = _admitted(exchange, decided)
        exchange.hold = admitted.hold
        if exchange.idempotent:
            exchange.idempotent.claim = None  # the hold has it
        states = admitted.limit_states
        if exchange.limit_states:  # of the entry; caps and balance stand differently now
            known = {state.policy for state in states}
            states = (*(state for state in exchange.limit_states if state.policy not in known), *states)
        exchange.limit_states = states

    def _ask(
        self, exchange: Exchange, route: Route, policy: Policy, fallback: tuple[str, str] = ("", "")
    ) -> Awaitable[Admitted | Denied]:
        declared, request = exchange.declared, exchange.idempotent
        return self.ledger.admit(
            exchange.request_id,
            policy,
            workload=route.workload,
            model=declared.model or "",
            units=declared.units,
            claim=request.claim if request else None,
            store_lost=exchange.store_lost,
            fallback=fallback,
            may_share=route.stream is StreamStep.NONE,  # else a session takes the hold over
        )

    async def _fall_back(
        self, exchange: Exchange, route: Route, policy: Policy, found: FallbackInUse, *, entered: bool
    ) -> Admitted | Denied:
        """Ask the limits of the fallback; return the refusal that it stands for where they refuse, too.

        `entered`: they have admitted the request already, before its body was read.
        """
        requested, fallback, exchange.fallback = exchange.declared, found.fallback, None
        exchange.store_lost |= _decided_locally(found.denied)
        if fallback.model and fallback.model != requested.model and exchange.declare_model:
            try:
                exchange.declared = await exchange.declare_model(fallback.model)
            except Refusal:  # it takes no such request
                return found.denied
        served = policy.falling_back(fallback, route.workload, exchange.declared.model or "")
        replaced = requested.model or "" if exchange.declared is not requested else ""
        named = found.denied.limit_state.policy, replaced
        decided = await self._ask(exchange, route, served.after_body if entered else served, named)
        if isinstance(decided, Denied):
            exchange.declared = requested
            return found.denied
        exchange.policy, exchange.fallback = served, structs.replace(found, model=replaced)
        return decided


def _admitted(exchange: Exchange, decided: Admitted | Denied, *, close: bool = False) -> Admitted:
    """Return the admission. Raises `Refusal` for a denial, which with `close` ends the connection."""
    if isinstance(decided, Denied):
        exchange.denied = decided
        exchange.limit_states = (decided.limit_state,)
        raise limit_refusal(decided, close=close)
    return decided


def _decided_locally(denied: Denied) -> bool:
    """Return True if Redis did not reply, which is then not waited for a second time."""
    return denied.hold is not None and denied.hold.local


def _check_model(allowed: frozenset[str], model: str) -> None:
    """Raise `Refusal` (403) for a model that the credential may not use; empty: the request names none."""
    if model not in allowed:
        raise Refusal(
            403,
            "insufficient_scope",
            f"This credential may not use model {model!r}." if model else "This credential needs a named model.",
            members={"allowed_models": sorted(allowed)},
        )
