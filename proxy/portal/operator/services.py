"""What the pages of operators are made from, beside what those of members are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import Metric

from proxy.api.admin.operations.resources import Resources
from proxy.control.operators.sessions import OperatorLinks


@dataclass(frozen=True, slots=True)
class OperatorServices:
    """Services without HTTP; the work itself is done by the operations that commands and admin API share."""

    resources: Resources
    links: OperatorLinks
    metrics: Callable[[], Iterable[Metric]]
    """Returns the metrics of all processes of this run, as `/metrics` shows them."""
