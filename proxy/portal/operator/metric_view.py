"""The metrics of all processes of this run, as numbers for pages. Counters begin with the run."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Self

from prometheus_client import Metric

Labels = Mapping[str, str]


class MetricView:
    """Samples by name, as `/metrics` has them: those of counters end in `_total`."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._samples: defaultdict[str, list[tuple[Labels, float]]] = defaultdict(list)
        for metric in metrics:
            for sample in metric.samples:
                self._samples[sample.name].append((sample.labels, sample.value))

    @classmethod
    async def read(cls, metrics: Callable[[], Iterable[Metric]]) -> Self:
        """Return what the files of all processes hold now; reading them takes some milliseconds."""
        return await asyncio.to_thread(lambda: cls(metrics()))

    def value(self, name: str) -> float:
        """Return the sum over all labels; 0 where nothing was counted."""
        return sum((value for _, value in self._samples[name]), 0.0)

    def count(self, name: str) -> int:
        """Return the same of what is counted one by one."""
        return int(self.value(name))

    def values_by(self, name: str, label: str) -> list[tuple[str, float]]:
        """Return each sample as it is, with the value of its only label."""
        return [(members[label], value) for members, value in self._samples[name]]

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], int]:
        """Return the sums by the values of these labels, the largest first, without those that are 0."""
        found: defaultdict[tuple[str, ...], int] = defaultdict(int)
        for members, value in self._samples[name]:
            found[tuple(members[label] for label in labels)] += int(value)
        return dict(sorted(((key, sum_) for key, sum_ in found.items() if sum_), key=lambda row: (-row[1], row[0])))
