"""Writes the generated parts of README.md: what the code says of itself cannot be out of date.

`python -m proxy.cli.reference` does it in the current folder; a test fails while the page differs from the code.
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
from proxy.server.ledger_metrics import LedgerObserver
from proxy.webhooks.metrics import LiveMetrics

ALIAS = "/api/v1/inference"


def routes() -> str:
    """Return the client routes, batch pipelines without their alias below `ALIAS`."""
    rows = [
        [f"`{path}`", route.allow.decode(), f"`{route.workload}`", f"`{route.name}`"]
        for route in ROUTES
        for path in route.paths
        if not path.startswith(ALIAS)
    ]
    return table(["Path", "Methods", "Workload", "Name in logs and metrics"], rows)


def errors() -> str:
    """The codes of problem documents."""
    return table(["Code", "Title"], ([f"`{code}`", title] for code, title in TITLES.items()))


def metrics() -> str:
    """What `/metrics` shows."""
    registry = CollectorRegistry()
    collectors = [*vars(RequestMetrics(registry)).values(), *vars(LedgerObserver(registry)).values()]
    collectors += vars(LiveMetrics(registry)).values()
    rows = []
    for collector in (each for each in collectors if isinstance(each, MetricWrapperBase)):
        [family] = collector.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in collector._labelnames)
        rows.append([f"`{name}`", family.type, labels, family.documentation])
    return table(["Metric", "Type", "Labels", "Meaning"], rows)


def commands() -> str:
    """The command line: every command with the arguments it cannot do without."""
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


PARTS: dict[str, Callable[[], str]] = {
    config.reference.PART: config.reference.reference,
    "routes": routes,
    "errors": errors,
    "metrics": metrics,
    "commands": commands,
}


def filled(page: str) -> str:
    """`page` with every generated part up to date."""
    for part, text in PARTS.items():
        page = fill(page, part, text())
    return page


def main(page: Path) -> None:
    """Write all parts into `page`."""
    page.write_text(filled(page.read_text()))


if __name__ == "__main__":
    main(Path("README.md"))
