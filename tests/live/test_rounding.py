"""Hazard: a stream past its included minutes pays more than its time costs, as each of its ticks is rounded up."""

from __future__ import annotations

import pytest

from config.plans import Plan
from middlewares.ledger.admission.policy import Policy
from proxy.reporting.explain.prices import event_prices
from proxy.reporting.stream import RecordedEvent
from tests.ledger.redis_time import Clocked
from tests.live.assertions import TICK, LedgerView
from tests.live.test_sessions import TimedSessions, tick

PLAN = Plan.model_validate(
    {
        "billing": "subscription",
        "prices": [{"unit": "minutes", "amount": 7}],
        "allowances": [{"unit": "minutes", "per": "day", "included": 1}],
    }
)
TICKS = 60
"""Five minutes, of which one is included."""


@pytest.mark.parametrize("streams", [1, 2])
async def test_the_ticks_of_streams_add_up_to_what_their_time_costs(
    ledger_view: LedgerView, clocked: Clocked, streams: int
) -> None:
    sessions = TimedSessions(clocked, ledger_view.keys)
    policy = Policy(ledger_view.keys, app="app", user=None, key="key", name="plan", plan=PLAN)
    names = [f"app_cam{number}" for number in range(streams)]
    for name in names:
        assert await sessions.begin(name, policy, "noop") is None
    for _ in range(TICKS):
        for number, name in enumerate(names):
            assert await tick(sessions, policy, after=0 if number else TICK, stream=name)
    recorded = await ledger_view.recorded()
    assert sum(amount for _, amount in recorded) == 7 * (5 * streams - 1)
    assert all(amount >= 0 for _, amount in recorded)
    await ledger_view.check({"plan": PLAN})
    first = [each for each in recorded if each[0].id.partition("-")[0] == recorded[0][0].id.partition("-")[0]]
    events = [RecordedEvent(event, str(amount)) for event, amount in first]
    explained = event_prices(events, {f"plan@{PLAN.version}": PLAN})
    assert len(explained) == TICKS
    assert all(each.agrees for each in explained)
