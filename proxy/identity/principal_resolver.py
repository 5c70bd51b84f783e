"""Finds the principals that gateways ask about in webhooks, by the current records."""

from __future__ import annotations

from config.workloads import Workload
from middlewares.auth.resolver import CredentialResolver
from middlewares.auth.verdict import Denial, Grant, Verdict
from middlewares.exchange import Principal, Refusal
from middlewares.ledger.model import Hold


class PrincipalResolver:
    """Finds principals by credential, or by what a hold or session says of them. All methods raise `StoreError`."""

    def __init__(self, resolver: CredentialResolver) -> None:
        self._resolver = resolver

    async def by_credential(self, credential: bytes, workload: Workload) -> Principal:
        """Return the principal of an API key or token. Raises `Refusal`."""
        return (await self.grant(credential, workload)).principal

    async def grant(self, credential: bytes, workload: Workload) -> Grant:
        """Return what an API key or token is good for, and until when. Raises `Refusal`.

        A gateway does not report the client's address, so a credential that is bound to networks is refused here; so
        is one that is bound to web pages, which reach gateways through Tollgate alone.
        """
        verdict = await self._resolver.judge(credential)
        if not isinstance(verdict, Denial) and verdict.networks is not None:
            detail = "The credential is bound to addresses, which are not known here; use it through Tollgate."
            raise Refusal(403, "address_not_allowed", detail)
        if not isinstance(verdict, Denial) and verdict.origins is not None:
            detail = "The key is limited to web pages, and this is none; publish through Tollgate."
            raise Refusal(403, "origin_not_allowed", detail)
        return _allowed(verdict, workload)

    async def again(
        self, app: str, user: str | None, key: str | None, plan: str | None, workload: Workload
    ) -> Principal:
        """Return the current state of a principal that was admitted before. Raises `Refusal`."""
        return _allowed(await self._resolver.judge_again(app, user, key, plan), workload).principal

    async def current(self, hold: Hold) -> Principal:
        """Return the current principal of a hold. Raises `Refusal` if it may not go on with that work."""
        plan = hold.plan.rpartition("@")[0] if hold.key is None else None
        principal = await self.again(hold.app, hold.user, hold.key, plan, hold.workload)
        check_model(principal, hold.model)
        return principal


def check_model(principal: Principal, model: str) -> None:
    """Raise `Refusal` for a model, or live pipeline, that the credential does not cover."""
    if principal.models is not None and model not in principal.models:
        raise Refusal(403, "insufficient_scope", f"The credential may not use pipeline {model!r}.")


def _allowed(verdict: Verdict, workload: Workload) -> Grant:
    if isinstance(verdict, Denial):
        raise Refusal(verdict.status, verdict.code, verdict.detail)
    workloads = verdict.principal.workloads
    if workloads is not None and workload not in workloads:
        raise Refusal(403, "insufficient_scope", f"The credential is not valid for {workload}.")
    return verdict
