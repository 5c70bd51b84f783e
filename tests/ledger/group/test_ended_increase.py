"""Hazard: a key whose limits were raised once never gets a share again, though the increase ended long ago."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from middlewares.ledger.admission.key_limits import Increase, KeyLimits, KeyTerms
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.model import Admitted
from tests.ledger.group.conftest import GroupWorker, Open, make_busy, new_app, plan_of

USUAL, RAISED = KeyLimits(requests_per_minute=10**6), KeyLimits(requests_per_minute=2 * 10**6)


def raised_until(worker: GroupWorker, ends: datetime) -> Policy:
    terms = KeyTerms("key_raised", USUAL, Increase(RAISED, ends))
    return worker.ledger.policy(new_app(), None, "key_raised", "plan", plan_of(), terms=terms)


async def test_an_increase_that_has_ended_keeps_no_share_away(group_workers: Open) -> None:
    async with group_workers() as [worker]:
        policy = raised_until(worker, datetime.now(UTC) - timedelta(days=90))
        found = await make_busy(worker, policy)
        assert found[-1].limit_states[-1].limit_spec.limit == 10**6
        for each in found:
            worker.ledger.release(each.hold)


async def test_while_limits_are_raised_redis_decides(group_workers: Open) -> None:
    async with group_workers() as [worker]:
        policy = raised_until(worker, datetime.now(UTC) + timedelta(days=1))
        for _ in range(100):
            decided = await worker.admit(policy)
            assert isinstance(decided, Admitted)
            assert (decided.hold.shared, decided.limit_states[-1].limit_spec.limit) == (False, 2 * 10**6)
            worker.ledger.release(decided.hold)
