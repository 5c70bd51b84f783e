"""How much work one measurement may take, and what is reported of it on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

REPORT_SECONDS = 0.25

Report = Callable[[dict[str, Any]], None]
"""Sends what was counted so far: keys as the fields of `MediaMeasure`."""


class OutOfBudget(Exception):
    """The CPU time of this measurement is used up."""


class Budget:
    """CPU time of one measurement. What was counted so far is reported at times, lest an end by force lose it."""

    def __init__(self, cpu_seconds: float, report: Report) -> None:
        now = time.process_time()
        self._end = now + cpu_seconds
        self._next_report = now + REPORT_SECONDS
        self._report = report
        self.known: dict[str, Any] = {}
        """What each report says besides."""

    def note(self, **known: Any) -> None:
        """Report what is known before anything is counted: the first packet may be the one that takes too long."""
        self.known.update(known)
        self._report(self.known)

    def check(self, so_far: Callable[[], dict[str, Any]]) -> None:
        """Report what `so_far` returns if it is time to. Raises `OutOfBudget` at the end of the budget."""
        now = time.process_time()
        if now >= self._next_report:
            self._next_report = now + REPORT_SECONDS
            self._report({**self.known, **so_far()})
        if now >= self._end:
            raise OutOfBudget
