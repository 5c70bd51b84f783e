"""Where an operator wants events to go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.reporting.export.formats import FORMATS, FormatName, Names
from proxy.reporting.export.headers import Headers

if TYPE_CHECKING:
    from proxy.reporting.export.sinks import Sink


class BadTarget(ValueError):
    """Not a place that events can go to. The message never repeats it: addresses may hold credentials."""


def check(to: str) -> None:
    """Raise `BadTarget` unless it is `stdout`, `file:PATH` or an http(s) address."""
    if to == "stdout" or (to.startswith("file:") and to != "file:"):
        return
    try:
        parts = urlsplit(to)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and to.isprintable()
    except ValueError:
        good = False
    if not good:
        raise BadTarget("--to must be stdout, file:PATH, or an address that begins with http:// or https://")


def open_sink(to: str, form: FormatName, names: Names, headers: Headers, timeout: float) -> Sink:
    """The sink for a checked target; `timeout` in seconds. Raises `Refused` where there can be none."""
    from proxy.reporting.export.http import HttpSink  # noqa: PLC0415
    from proxy.reporting.export.sinks import FileSink, StdoutSink  # noqa: PLC0415

    if to == "stdout":
        return StdoutSink(FORMATS[form], names)
    if to.startswith("file:"):
        return FileSink(Path(to.removeprefix("file:")), FORMATS[form], names)
    return HttpSink(to, FORMATS[form], names, headers.read, timeout)
