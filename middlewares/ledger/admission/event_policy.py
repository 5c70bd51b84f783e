"""The policy by which an event was admitted: what it counts in."""

from __future__ import annotations

from config.plans import Plan
from middlewares.ledger.admission.key_limits import KeyTerms
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import Event


def policy_of_event(keys: RedisKeys, event: Event, name: str, plan: Plan, terms: KeyTerms | None = None) -> Policy:
    """Return the policy of an event under its plan, in the version that priced it; `terms` are those of its key."""
    policy = Policy(keys, app=event.app, user=event.user, key=event.key, name=name, plan=plan, terms=terms)
    fallback = plan.fallback(event.workload) if event.fallback and event.workload else None
    if fallback is None or event.workload is None:
        return policy
    return policy.falling_back(fallback, event.workload, event.model)
