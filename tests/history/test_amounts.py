"""Amounts are exact on every database, far past 64 bits: their sums are Python's."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.history import queries, writes
from proxy.history.batch import Movement
from proxy.history.store import History
from proxy.history.totals.total import Total

pytestmark = pytest.mark.ci


DAY = date(2026, 11, 21)
AMOUNTS = st.lists(st.integers(-(10**30), 10**30), min_size=1, max_size=12)
NUMBERS = iter(range(10**9))


@given(amounts=AMOUNTS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_sums_are_those_of_python(history: History, amounts: list[int]) -> None:
    app = f"app_{next(NUMBERS)}"
    total = Total(app, DAY, "u", "", "llm", "m", "amount")
    for amount in amounts:
        await history.write(writes.add_totals, {total: amount})
        await history.write(writes.add_wallets, {(app, "u", DAY): Movement(amount, -amount, 2 * amount)})
    assert await history.read(queries.totals, app, DAY, DAY) == [(total, sum(amounts))]
    moved = Movement(sum(amounts), -sum(amounts), 2 * sum(amounts))
    assert await history.read(queries.wallets_before, app, date(2026, 11, 22)) == {"u": moved}
    assert await history.read(queries.wallets_before, app, DAY) == {}
