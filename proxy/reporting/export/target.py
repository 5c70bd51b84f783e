"""Parses the destination of an export, and opens its sink."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.reporting.export.formats import FORMATS, FormatName, ReceiverNames
from proxy.reporting.export.headers import ReceiverHeaders

if TYPE_CHECKING:
    from proxy.reporting.export.sinks import Sink


class BadTarget(ValueError):
    """Invalid destination. The message does not repeat it: addresses may contain credentials."""


def check(to: str) -> None:
    """Raise `BadTarget` unless `to` is `stdout`, `file:PATH` or an http(s) address."""
    if to == "stdout" or (to.startswith("file:") and to != "file:"):
        return
    try:
        parts = urlsplit(to)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and to.isprintable()
    except ValueError:
        good = False
    if not good:
        raise BadTarget("--to must be stdout, file:PATH, or an address that begins with http:// or https://")


def open_sink(to: str, form: FormatName, names: ReceiverNames, headers: ReceiverHeaders, timeout: float) -> Sink:
    """Return the sink of a checked destination; `timeout` is in seconds. Raises `Refused`."""
    from proxy.reporting.export.http import HttpSink  # noqa: PLC0415
    from proxy.reporting.export.sinks import FileSink, StdoutSink  # noqa: PLC0415

    if to == "stdout":
        return StdoutSink(FORMATS[form], names)
    if to.startswith("file:"):
        return FileSink(Path(to.removeprefix("file:")), FORMATS[form], names)
    return HttpSink(to, FORMATS[form], names, headers.read, timeout)
