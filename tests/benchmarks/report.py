"""Measurements, the figures drawn from them, and both as Markdown and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """Bound of a figure, and optionally the better value that is aimed for."""

    bound: float
    at_most: bool = False
    aim: float | None = None

    def met(self, value: float, bound: float) -> bool:
        """True if `value` is on the right side of `bound`."""
        return value <= bound if self.at_most else value >= bound

    def verdict(self, value: float) -> str:
        """Return `met` or `not met`, and the same of the aim."""
        verdict = "met" if self.met(value, self.bound) else "not met"
        if self.aim is None:
            return verdict
        return f"{verdict}, aim {'met' if self.met(value, self.aim) else 'not met'}"

    def __str__(self) -> str:
        bound = f"{'≤' if self.at_most else '≥'} {shown(self.bound)}"
        return bound if self.aim is None else f"{bound}, aim {shown(self.aim)}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the report. `unit` is empty for a ratio."""

    name: str
    value: float
    unit: str
    target: Target | None


class Section:
    """Results of one part: measurements by subject and metric, one value per round, and figures."""

    def __init__(self, name: str, title: str) -> None:
        self.name = name
        self.title = title
        self.measured: dict[str, dict[str, list[float]]] = {}
        self.figures: list[Figure] = []
        self.notes: list[str] = []

    def add(self, subject: str, metrics: dict[str, float]) -> None:
        """Add a round of measurements of `subject`; a metric's name ends with its unit."""
        row = self.measured.setdefault(subject, {})
        for metric, value in metrics.items():
            row.setdefault(metric, []).append(value)

    def median(self, subject: str, metric: str) -> float:
        """Return the median of all rounds."""
        return median(self.measured[subject][metric])

    def ratio(self, metric: str, subject: str, to: str) -> float:
        """Return the median over rounds of `subject` / `to`; a slow spell of the machine hits both of one round."""
        pairs = zip(self.measured[subject][metric], self.measured[to][metric], strict=True)
        return median(one / other for one, other in pairs)

    def difference(self, metric: str, subject: str, to: str) -> float:
        """Return the median over rounds of `subject` - `to`."""
        pairs = zip(self.measured[subject][metric], self.measured[to][metric], strict=True)
        return median(one - other for one, other in pairs)

    def figure(self, name: str, value: float, unit: str = "", target: Target | None = None) -> None:
        """Add a figure."""
        self.figures.append(Figure(name, value, unit, target))

    def markdown(self) -> str:
        """Return a heading, the notes, a table of the measurements (median, least to most) and one of the figures."""
        lines = [f"## {self.name}: {self.title}", "", *(f"{note}\n" for note in self.notes)]
        metrics = list(dict.fromkeys(metric for row in self.measured.values() for metric in row))
        if metrics:
            lines += ["| | " + " | ".join(metrics) + " |", "|---|" + "--:|" * len(metrics)]
            for subject, row in self.measured.items():
                lines.append(f"| {subject} | " + " | ".join(spread(row.get(metric, [])) for metric in metrics) + " |")
            lines.append("")
        if self.figures:
            lines += ["| figure | value | target | |", "|---|--:|--:|---|"]
            for each in self.figures:
                target, verdict = (str(each.target), each.target.verdict(each.value)) if each.target else ("", "")
                lines.append(f"| {each.name} | {shown(each.value)} {each.unit}".rstrip() + f" | {target} | {verdict} |")
            lines.append("")
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """Return the same as a document of JSON, with every round's value."""
        return {
            "name": self.name,
            "title": self.title,
            "notes": self.notes,
            "measured": {
                subject: {metric: {"median": median(rounds), "rounds": rounds} for metric, rounds in row.items()}
                for subject, row in self.measured.items()
            },
            "figures": [
                {"name": each.name, "value": each.value, "unit": each.unit}
                | ({"target": str(each.target), "verdict": each.target.verdict(each.value)} if each.target else {})
                for each in self.figures
            ],
        }


def spread(rounds: list[float]) -> str:
    """Return the median with the extremes, for example `6,500 (6,120 to 6,810)`."""
    if not rounds:
        return ""
    if len(rounds) == 1:
        return shown(rounds[0])
    return f"{shown(median(rounds))} ({shown(min(rounds))} to {shown(max(rounds))})"


def shown(value: float) -> str:
    """Return three significant digits, whole numbers from a hundred on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
