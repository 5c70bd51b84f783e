"""Settings of all property tests, and the order of all tests. Property tests judge results, never how long a busy
machine took for them.

`make test` tries the same examples each time, so that a red run says something about the change; `make fuzz` looks for
new ones.

Tests run side by side by file, in their order here: what takes longest comes first, so that none of it begins when all
else has ended.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeat", settings.get_profile("explore"), derandomize=True)
settings.load_profile("repeat")

ROOT = Path(__file__).parent
SLOW_FIRST = ("chaos", "history", "backup", "product", "clients", "docs", "reporting", "ledger", "store", "benchmarks")
"""Folders whose files take longest, those that wait for most first."""

GC_THRESHOLDS = (50_000, 20, 50)
"""As a worker has them; the default of 700 allocations has tests that parse all sources search them again and again."""

gc.disable()


def pytest_collection_finish() -> None:
    """Begin the tests as the product would: without a heap to search, and with its limit of recursion.

    What was imported by now stays, so the collector need not search it again and again. And what eth-account imports
    raises the limit to 100,000: nested JSON, of which tests have plenty, would end the process rather than raise an
    error.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
    sys.setrecursionlimit(1_000)


@pytest.hookimpl(tryfirst=True)  # before the expression of `-m` is looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by their folder, and leave the order within each; of cases that are sampled, make others slow."""
    cases: Counter[str] = Counter()
    for item in items:
        if (sampled := item.get_closest_marker("sampled")) is not None:
            name = item.nodeid.partition("[")[0]
            if cases[name] % sampled.args[0]:
                item.add_marker("slow")
            cases[name] += 1
    places = {name: place for place, name in enumerate(SLOW_FIRST)}
    root = len(ROOT.parts)
    items.sort(key=lambda item: places.get(item.path.parts[root], len(places)))
