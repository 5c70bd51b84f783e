"""Requests over a limit that their plan serves all the same: by a cheaper model, by other gateways, or both. Pure."""

from __future__ import annotations

from middlewares.exchange import FallbackInUse, Principal
from middlewares.ledger.model import Denied
from middlewares.routing.route import Route


def fallback_of(principal: Principal, route: Route, denied: Denied) -> FallbackInUse | None:
    """Return what the plan serves in place of this refusal; None: nothing, or nothing that the credential may use."""
    if not route.falls_back:
        return None
    found = principal.plan.fallback(route.workload)
    if found is None or denied.code not in found.instead_of:
        return None
    if found.model and principal.models is not None and found.model not in principal.models:
        return None
    return FallbackInUse(found, denied)
