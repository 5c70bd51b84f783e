"""A worker's share of the limits while Redis is away."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from config.plans import Plan
from middlewares.ledger.admission.local_limits import LocalLimits
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.model import Denied
from middlewares.ledger.redis_keys import RedisKeys

IDS = map(str, itertools.count())


def policy(limits: dict[str, Any], *, key: str | None = None, **fields: Any) -> Policy:
    plan = Plan.model_validate({"limits": limits} | fields)
    return Policy(RedisKeys(4, cluster=False), app="app", user=None, key=key, name="plan", plan=plan)


def admitted(local: LocalLimits, chosen: Policy, tries: int) -> int:
    return sum(local.admit(chosen, next(IDS)) is None for _ in range(tries))


@pytest.mark.parametrize(("workers", "share"), [(1, 8), (4, 2), (3, 2), (100, 1)])
def test_windows_and_leases_at_a_share_of_the_limit(workers: int, share: int) -> None:
    assert admitted(LocalLimits(workers), policy({"app": {"requests_per_minute": 8}}), 50) == share
    assert admitted(LocalLimits(workers), policy({"app": {"concurrent": 8}}), 50) == share


def test_a_refusal_names_the_rule_and_counts_nowhere() -> None:
    local = LocalLimits(1)
    both = policy({"key": {"requests_per_minute": 5}, "app": {"concurrent": 2}}, key="k")
    assert admitted(local, both, 10) == 2
    refused = local.admit(both, "late")
    assert refused
    assert (refused.limit_state.policy, refused.code) == ("app-concurrent", "concurrency_limited")
    local.release(both.rules[1].keys, "nobody")
    assert admitted(local, policy({"key": {"requests_per_minute": 5}}, key="k"), 10) == 3


def test_leases_come_back() -> None:
    local, chosen = LocalLimits(1), policy({"app": {"concurrent": 1}})
    for request in ("a", "b", "c"):
        assert local.admit(chosen, request) is None
        assert local.admit(chosen, "too many")
        local.release(chosen.rules[0].keys, request)
    assert local.leases == 0


def test_shadow_limits_caps_and_balances_do_not_refuse() -> None:
    chosen = policy(
        {
            "app": {
                "requests_per_minute": {"max": 1, "shadow": True},
                "caps": [{"unit": "requests", "per": "day", "max": 1}],
            }
        },
        billing="credits",
        prices=[{"unit": "requests", "amount": 1}],
    )
    assert admitted(LocalLimits(1), chosen, 20) == 20
    assert chosen.refuses_without_store, "unless the plan says otherwise, such a plan is not guessed at"


def test_what_is_kept_in_memory_is_bounded() -> None:
    local = LocalLimits(1, max_windows=10)
    policies = [policy({"key": {"requests_per_minute": 1}}, key=f"k{number}") for number in range(100)]
    for each in policies:
        assert local.admit(each, next(IDS)) is None
    assert all(isinstance(local.admit(each, next(IDS)), Denied) for each in policies[-10:])
    assert local.admit(policies[-11], next(IDS)) is None, "its window was forgotten"
