"""Which pools may serve a request."""

from config.routing import Routing
from config.workloads import Workload


def choose_pools(routing: Routing, tier: str, workload: Workload, model: str | None) -> tuple[str, ...]:
    """Names of the pools to use, in order: those of the first rule whose named fields all match.

    Without rules everything goes to the only pool; where no rule matches, nothing may serve the request.
    """
    if not routing.rules:
        return tuple(routing.pools)
    for rule in routing.rules:
        if rule.tier in (None, tier) and rule.workload in (None, workload) and rule.model in (None, model):
            return rule.pool, *rule.fallback
    return ()
