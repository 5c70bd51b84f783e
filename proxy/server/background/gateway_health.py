"""The health of gateways, as the workers of this machine show it in their metrics."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.multiprocess import MultiProcessCollector

from proxy.server.metric_files import VARIABLE

METRIC = "tollgate_gateway_up"
_FILES = "gauge_livemin_*.db"


def gateway_health() -> Mapping[str, bool]:
    """Return for each gateway whether every worker lets it have new work; empty where no worker shares its metrics."""
    folder = os.environ.get(VARIABLE)
    files = [str(path) for path in Path(folder).glob(_FILES)] if folder else []
    found: dict[str, bool] = {}
    for metric in MultiProcessCollector.merge(files):  # type: ignore[no-untyped-call]
        if metric.name == METRIC:
            for sample in metric.samples:
                url = sample.labels["gateway"]
                found[url] = found.get(url, True) and sample.value > 0
    return found
