"""Runs many calls to the store at once, so that they share round trips, but no more than a bound."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

IN_FLIGHT = 256

T = TypeVar("T")
R = TypeVar("R")


async def gather_bounded(call: Callable[[T], Awaitable[R]], items: Sequence[T]) -> list[R]:
    """Return the results of `call` for every item, with at most `IN_FLIGHT` of them under way at once.

    Every call ends before this returns; then the first exception that any of them raised is raised.
    """
    outcomes: list[R | BaseException] = []
    for start in range(0, len(items), IN_FLIGHT):
        batch = map(call, items[start : start + IN_FLIGHT])
        outcomes += await asyncio.gather(*batch, return_exceptions=True)
    results = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        results.append(outcome)
    return results
