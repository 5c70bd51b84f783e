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
from middlewares.exchange import Refusal
from middlewares.response.metrics import RequestMetrics
from middlewares.response.problem import TITLES
from middlewares.routes import Entry, find_entry
from proxy.cli.main import app
from proxy.server.ledger_metrics import LedgerObserver
from proxy.webhooks.metrics import LiveMetrics

ALIAS = "/api/v1/inference"
PATHS = (
    "/text-to-image",
    "/image-to-image",
    "/image-to-video",
    "/image-to-video/result",
    "/upscale",
    "/audio-to-text",
    "/llm",
    "/v1/chat/completions",
    "/v1/models",
    "/segment-anything-2",
    "/image-to-text",
    "/text-to-speech",
    "/live/{manifest}/{sequence}.ts",
    "/live/{manifest}/{sequence}.mp4",
    "/live/video-to-video/{stream}/whip",
    "/live/video-to-video/{stream}/whip/{session}",
    "/live/video-to-video/{stream}/whep",
    "/live/video-to-video/{stream}/update",
    "/live/video-to-video/{stream}/status",
    "/process/request/{path}",
    "/process/stream/start",
    "/process/stream/{stream}/whip",
    "/process/stream/{stream}/update",
    "/process/stream/{stream}/status",
    "/process/stream/{stream}/data",
    "/process/stream/{stream}/stop",
    "/stream/{path}",
    "/recordings/{manifest}/{file}.m3u8",
    "/recordings/{manifest}/{file}.mp4",
    "/recordings/{manifest}/{file}.ts",
    "/healthz",
)
"""Every pattern of the route table, batch routes without their alias below `ALIAS`."""


def entry_of(path: str) -> Entry:
    """Return the route table's entry for a path pattern, whatever methods it takes."""
    plain = path.replace("{", "").replace("}", "").encode()
    for method in ("POST", "GET", "DELETE"):
        try:
            return find_entry(method, plain, lambda _: None)
        except Refusal as refusal:
            if refusal.status != 405:
                raise
    raise LookupError(path)


def routes() -> str:
    """Return the table of client routes."""
    entries = [(path, entry_of(path)) for path in PATHS]
    rows = [
        [f"`{path}`", entry.allow.decode(), f"`{entry.route.workload}`", f"`{entry.route.name}`"]
        for path, entry in entries
    ]
    return table(["Path", "Methods", "Workload", "Name in logs and metrics"], rows)


def errors() -> str:
    """Return the table of the codes of problem documents."""
    return table(["Code", "Title"], ([f"`{code}`", title] for code, title in TITLES.items()))


def metrics() -> str:
    """Return the table of what `/metrics` shows."""
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
