"""Which pools may serve a request."""

from collections.abc import Iterable

from config.routing import RouteRule
from config.workloads import Workload


def choose_pools(rules: Iterable[RouteRule], tier: str, workload: Workload, model: str | None) -> tuple[str, ...]:
    """Names of the pools to use, in order: those of the first rule whose named fields all match.

    Where no rule matches, nothing may serve the request.
    """
    for rule in rules:
        if rule.tier in (None, tier) and rule.workload in (None, workload) and rule.model in (None, model):
            return rule.pool, *rule.fallback
    return ()
