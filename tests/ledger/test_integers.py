"""Big integers in Lua are Python's: money is exact to the last atomic unit, far past 2^53 and 2^63."""

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from config.plans import Plan
from config.workloads import COUNTED, Workload
from middlewares.ledger.admission.pricing import prices_for
from proxy.store.store import Store
from tests.ledger.redis_time import ask, library

CASES = 400
LARGEST_DIVISOR = 10**14

LUA = library(
    "integer",
    """
    local a, b = words[2], words[3]
    if words[1] == 'add' then return add(a, b) end
    if words[1] == 'subtract' then return subtract(a, b) end
    if words[1] == 'less' then return less(a, b) and '1' or '0' end
    if words[1] == 'maximum' then return maximum(a, b) end
    if words[1] == 'multiply' then return multiply(a, b) end
    if words[1] == 'divide_up' then return divide_up(a, tonumber(b)) end
    """,
)

PYTHON: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "less": lambda a, b: a < b,
    "maximum": max,
    "multiply": lambda a, b: a * b,
    "divide_up": lambda a, b: -(-a // b) if a > 0 else a // b,
}

EDGES = sorted(
    {
        abs(base**power + step)
        for base, powers in ((10, (0, 1, 6, 7, 8, 14, 15, 16, 21, 27, 28, 30)), (2, (31, 32, 53, 63, 64)))
        for power in powers
        for step in (-1, 0, 1)
    }
    | {6 * 10**13, LARGEST_DIVISOR}
)


async def check(store: Store, cases: list[tuple[str, int, int]]) -> None:
    answers = await ask(store, LUA, [f"{name} {a} {b}" for name, a, b in cases])
    wrong = [
        f"{name}({a}, {b}) = {answer.decode()}"
        for (name, a, b), answer in zip(cases, answers, strict=True)
        if answer.decode() != str(int(PYTHON[name](a, b)))
    ]
    assert wrong == []


@pytest.mark.parametrize("name", PYTHON)
async def test_at_every_pair_of_edges(store: Store, name: str) -> None:
    signed = [*EDGES, *(-edge for edge in EDGES if edge)]
    cases = [(name, a, b) for a in signed for b in signed if name != "divide_up" or 0 < b <= LARGEST_DIVISOR]
    for start in range(0, len(cases), 5_000):
        await check(store, cases[start : start + 5_000])


@pytest.mark.ci
@given(seed=st.integers(0, 2**64))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_at_random_sizes(store: Store, seed: int) -> None:
    rng = random.Random(seed)

    def number() -> int:
        return rng.choice((1, -1)) * rng.randrange(10 ** rng.randint(1, 30) + 1)

    cases = [(rng.choice(list(PYTHON)), number(), number()) for _ in range(CASES)]
    await check(store, [(name, a, b % LARGEST_DIVISOR + 1 if name == "divide_up" else b) for name, a, b in cases])


async def test_a_price_for_a_thousand_million_minutes_is_divided_exactly(store: Store) -> None:
    rng = random.Random(11)
    await check(store, [("divide_up", rng.randrange(10**30), 6 * 10**13 - each) for each in range(5_000)])


def test_no_price_needs_a_larger_divisor() -> None:
    factor = max(factor for _, factor in COUNTED.values())
    largest = 10**9
    assert prices_for(_priced(largest), Workload.LLM, "m")[0].per == largest * factor <= LARGEST_DIVISOR
    with pytest.raises(ValidationError):
        _priced(largest + 1)


def _priced(per: int) -> Plan:
    return Plan.model_validate({"billing": "usage", "prices": [{"unit": "minutes", "amount": 1, "per": per}]})


async def test_long_sums_never_drift(store: Store) -> None:
    """A wallet over its life: 20,000 changes up and down, folded in Lua and in Python."""
    rng = random.Random(7)
    changes = [rng.randrange(-(10**28), 10**28) for _ in range(20_000)]
    fold = library(
        "integer",
        """
        local sum = '0'
        for _, word in ipairs(words) do sum = add(sum, word) end
        return sum
        """,
    )
    [answer] = await ask(store, fold, [" ".join(map(str, changes))])
    assert int(answer) == sum(changes)
