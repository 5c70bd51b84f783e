"""Bars and columns are as long as the amounts beside them, whatever their size."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.runtime import Currency
from middlewares.ledger.admission.rules import LimitRule
from proxy.portal.charts import LENGTH, bar, columns
from proxy.portal.tenant.limits import _shown
from proxy.reporting.limits import RuleUse

AMOUNT = st.integers(0, 10**30)


@given(AMOUNT, AMOUNT)
def test_a_bar_is_within_its_rail(amount: int, more: int) -> None:
    length = bar(amount, amount + more)
    assert 0 <= length <= LENGTH
    assert (length == 0) == (amount == 0)
    assert bar(amount, amount) in (0, LENGTH)


def test_what_is_taken_back_has_no_bar() -> None:
    assert (bar(-1, 5), bar(0, 0), bar(1, 10**27)) == (0, 0, 4)


@given(st.lists(AMOUNT, max_size=400))
def test_columns_stand_beside_one_another(amounts: list[int]) -> None:
    found = columns([(f"{number}", amount) for number, amount in enumerate(amounts)])
    assert len(found) == (len(amounts) if any(amounts) else 0)
    for column, following in pairwise(found):
        assert column.x + column.width <= following.x + 1
    for column in found:
        assert column.y + column.height == 100
        assert (column.height > 0) == (column.amount > 0)
        assert column.x + column.width <= LENGTH


@pytest.mark.parametrize(
    ("kind", "used", "reserved", "shadow", "reached"),
    [
        ("m", 9, 0, False, False),
        ("m", 9, 1, False, True),
        ("t", 11, 0, False, True),
        ("d", 10, 0, True, False),  # it refuses nothing
        ("w", 10, 0, False, False),  # it is over within the minute
        ("c", 10, 0, False, False),
    ],
)
def test_only_a_cap_that_refuses_until_its_end_is_reached(
    kind: str, used: int, reserved: int, shadow: bool, reached: bool
) -> None:
    rule = LimitRule(kind, ("name",), 10, "app-requests", "requests", window_seconds=60, shadow=shadow)
    assert _shown(RuleUse(rule, used, reserved, None), Currency()).reached is reached
