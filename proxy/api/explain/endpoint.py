"""Explanations over HTTP, for tenants: those of an app for the app, of a user or key for itself."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path

from middlewares.auth.verdict import WORK_SCOPES
from middlewares.exchange import Refusal
from proxy.api.caller import Caller, CallerWith
from proxy.api.services import BuilderServices
from proxy.identity.token_issuer import READ
from proxy.reporting.explain.compose import explanation
from proxy.reporting.explain.documents import Explanation
from proxy.reporting.explain.facts import read_facts
from proxy.reporting.stream import UnreadableEvent

RequestId = Annotated[str, Path(max_length=600, description="`X-Request-ID` of a response, or the id of an event.")]
Reader = Annotated[Caller, Depends(CallerWith(READ, *sorted(WORK_SCOPES)))]


class ExplainEndpoint:
    """The route `/api/v1/explain/{request_id}`."""

    def __init__(self, services: BuilderServices) -> None:
        self._services = services

    async def explain(self, request_id: RequestId, caller: Reader) -> Explanation:
        """Explain why a request was refused, or what it was charged, and why."""
        services = self._services
        try:
            facts = await read_facts(services.sources, services.plans, caller.app, request_id)
        except UnreadableEvent:
            raise Refusal(409, "unreadable_event", "The ledger has an entry of it that is no event.") from None
        found = explanation(facts, services.currency, for_operator=False) if facts else None
        if found is None or not may_see(caller, found.user, found.key):
            raise Refusal(404, "unknown_id", "There is no request of this id here.")
        return found


def may_see(caller: Caller, user: str | None, key: str | None) -> bool:
    """Return True if the caller may know of a request of that user and key of its app.

    Whoever may read the app's usage sees all of it. A credential that is for work alone sees its own: a user's those of
    the user, any other key its own.
    """
    if caller.user is not None:
        return caller.user == user
    return READ in caller.scopes or (caller.key is not None and caller.key == key)
