"""Parses the destination of an export, and opens its sink."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.reporting.export.formats import FORMATS, FormatName, ReceiverNames
from proxy.reporting.export.headers import ReceiverHeaders

if TYPE_CHECKING:
    from proxy.reporting.export.sinks import Sink

POSTGRESQL = "postgresql"
MOST_AT_ONCE = {FormatName.LAGO: 100, FormatName.STRIPE: 100}
"""Most events that a receiver takes in one batch."""


class BadTarget(ValueError):
    """Invalid destination. The message does not repeat it: addresses may contain credentials."""


@dataclass(frozen=True, slots=True)
class Target:
    """A destination of events, and all that its sink needs."""

    to: str
    form: FormatName
    names: ReceiverNames
    headers: ReceiverHeaders
    timeout: float
    """Seconds that the receiver has for a batch."""
    table: str = ""
    postgresql_url: str | None = None
    """Address of PostgreSQL, with its password."""

    def check(self) -> None:
        """Raise `BadTarget` unless `to` is one of the destinations, with what belongs to it."""
        if self.to == POSTGRESQL:
            self._check_postgresql()
        elif self.to != "stdout" and not (self.to.startswith("file:") and self.to != "file:"):
            check_address(self.to)

    def _check_postgresql(self) -> None:
        from proxy.reporting.export.postgresql import TABLE  # noqa: PLC0415

        if not self.postgresql_url:
            raise BadTarget("--to postgresql needs its address in TOLLGATE_EXPORT__POSTGRESQL_URL, or ..._URL_FILE")
        if not TABLE.fullmatch(self.table):
            raise BadTarget("--table must be TABLE or SCHEMA.TABLE of small letters, digits and underscores")

    def open(self) -> Sink:
        """Return the sink of a checked destination. Raises `Refused`."""
        from proxy.reporting.export.sinks import FileSink, StdoutSink  # noqa: PLC0415

        if self.to == POSTGRESQL:
            from proxy.reporting.export.postgresql import PostgresqlSink  # noqa: PLC0415

            return PostgresqlSink(self.postgresql_url or "", self.table, self.names, self.timeout)
        form = FORMATS[self.form]
        if self.to == "stdout":
            return StdoutSink(form, self.names)
        if self.to.startswith("file:"):
            return FileSink(Path(self.to.removeprefix("file:")), form, self.names)
        return self._open_http()

    def _open_http(self) -> Sink:
        from proxy.reporting.export.http import HttpSink  # noqa: PLC0415
        from proxy.reporting.export.lago import LagoSink  # noqa: PLC0415
        from proxy.reporting.export.openmeter import OpenMeterSink  # noqa: PLC0415
        from proxy.reporting.export.stripe import StripeSink  # noqa: PLC0415

        sinks: dict[FormatName, type[HttpSink | StripeSink]] = {
            FormatName.OPENMETER: OpenMeterSink,
            FormatName.LAGO: LagoSink,
            FormatName.STRIPE: StripeSink,
        }
        sink = sinks.get(self.form, HttpSink)
        return sink(self.to, FORMATS[self.form], self.names, self.headers.read, self.timeout)


def check_address(to: str) -> None:
    """Raise `BadTarget` unless `to` is an http(s) address without a password."""
    try:
        parts = urlsplit(to)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and to.isprintable()
    except ValueError:
        good = False
    if not good:
        raise BadTarget(
            "--to must be stdout, file:PATH, postgresql, or an address that begins with http:// or https://"
        )
    if parts.password:
        raise BadTarget(
            "every user of this machine can see a command line: give the password in a line `Authorization: Basic ...` "
            "of --header-file"
        )
