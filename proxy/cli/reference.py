"""Write the generated parts of the READMEs: what the code says of itself cannot be out of date.

`python -m proxy.cli.reference` does it in the current folder; a test fails while a page differs from the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import typer
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from typer.core import TyperCommand, TyperGroup

import config.reference
from config.markdown import fill, table
from middlewares.response.metrics import RequestMetrics
from middlewares.response.problem import TITLES
from middlewares.routes import ROUTES
from proxy.cli.main import app
from proxy.forwarding.gateway_metrics import GatewayMetrics
from proxy.server.background.history_metrics import HistoryMetrics
from proxy.server.background.key_metrics import KeyMetrics
from proxy.server.background.notification_metrics import NotificationMetrics
from proxy.server.ledger_metrics import LedgerObserver
from proxy.webhooks.metrics import LiveMetrics

ALIAS = "/api/v1/inference"


def routes() -> str:
    """Return the table of client routes, batch pipelines without their alias below `ALIAS`."""
    rows = [
        [f"`{path}`", route.allow.decode(), f"`{route.workload}`", f"`{route.name}`"]
        for route in ROUTES
        for path in route.paths
        if not path.startswith(ALIAS)
    ]
    return table(["Path", "Methods", "Workload", "Name in logs and metrics"], rows)


def errors() -> str:
    """Return the table of the codes of problem documents."""
    return table(["Code", "Title"], ([f"`{code}`", title] for code, title in TITLES.items()))


def metrics() -> str:
    """Return the table of what `/metrics` shows."""
    registry = CollectorRegistry()
    collectors = [*vars(RequestMetrics(registry)).values(), *vars(LedgerObserver(registry)).values()]
    collectors += [*vars(LiveMetrics(registry)).values(), *vars(GatewayMetrics(registry)).values()]
    collectors += [*vars(HistoryMetrics(registry)).values(), *vars(KeyMetrics(registry)).values()]
    collectors += vars(NotificationMetrics(registry)).values()
    rows = []
    for collector in (each for each in collectors if isinstance(each, MetricWrapperBase)):
        [family] = collector.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in collector._labelnames)
        rows.append([f"`{name}`", family.type, labels, family.documentation])
    return table(["Metric", "Type", "Labels", "Meaning"], rows)


def commands() -> str:
    """Return the table of commands, each with its required arguments."""
    return table(["Command", "What it does"], _commands("tollgate", typer.main.get_command(app)))


def _commands(name: str, command: object) -> Iterator[list[str]]:
    if isinstance(command, TyperGroup):
        for below, each in command.commands.items():
            yield from _commands(f"{name} {below}", each)
    elif isinstance(command, TyperCommand):
        needed = [
            ("" if each.param_type_name == "argument" else f"{each.opts[0]} ")
            + (each.metavar or str(each.name).upper())
            for each in command.params
            if each.required
        ]
        help_text = (command.help or "").partition("\n\n")[0].replace("\n", " ")
        yield [f"`{' '.join([name, *needed])}`", help_text]


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "config/README.md": {config.reference.PART: config.reference.reference},
    "middlewares/README.md": {"routes": routes, "errors": errors},
    "proxy/README.md": {"metrics": metrics},
    "proxy/cli/README.md": {"commands": commands},
}
"""The generated parts of each page, by the names of their markers."""


def filled(name: str, page: str) -> str:
    """Return the text of the page of that name with every generated part up to date."""
    for part, text in PAGES[name].items():
        page = fill(page, part, text())
    return page


def main(folder: Path) -> None:
    """Write all parts into the pages below `folder`, the root of the repository."""
    for name in PAGES:
        page = folder / name
        page.write_text(filled(name, page.read_text()))


if __name__ == "__main__":
    main(Path())
