"""Bars and columns as numbers for SVG. Lengths are integers; the amounts themselves stand beside them as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LENGTH = 1_000
"""Length of the longest bar."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a chart."""

    label: str
    amount: int
    x: int
    y: int
    width: int
    height: int


def bar(amount: int, largest: int) -> int:
    """Return the length of a bar beside the largest one; what is more than nothing is seen."""
    if amount <= 0 or largest <= 0:
        return 0
    return max(4, amount * LENGTH // largest)


def columns(values: Sequence[tuple[str, int]], height: int = 100) -> list[Column]:
    """Return the columns of a chart that is `LENGTH` wide; none where all values are 0."""
    largest = max((amount for _, amount in values), default=0)
    if largest <= 0:
        return []
    step = LENGTH / len(values)
    found = []
    for number, (label, amount) in enumerate(values):
        tall = max(1, amount * height // largest) if amount > 0 else 0
        x, end = int(number * step), int((number + 1) * step)
        gap = min(6, (end - x) // 4)
        found.append(Column(label, amount, x, height - tall, max(1, end - x - gap), tall))
    return found
