"""`tollgate export`: hand usage events to another system, at least once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.loader import load
from proxy.cli.output import Exit, bad_input, fail
from proxy.cli.session import Session, run
from proxy.reporting.export.formats import FormatName, Names
from proxy.reporting.export.headers import BadHeader, Headers
from proxy.reporting.export.target import BadTarget, check, open_sink

if TYPE_CHECKING:
    from proxy.reporting.export.exporter import Exporter

_GROUP = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_AT_ONCE = {FormatName.LAGO: 100, FormatName.STRIPE: 100}


def export(
    *,
    to: Annotated[str, typer.Option(metavar="stdout|file:PATH|URL", help="Where to: a URL gets one POST a batch.")],
    form: Annotated[FormatName, typer.Option("--format", help="As the receiver wants it.")] = FormatName.CLOUDEVENTS,
    group: Annotated[str, typer.Option(help="Each group gets every event once; one for each receiver.")] = "export",
    batch: Annotated[int, typer.Option(min=1, max=1_000, help="Most events sent at once.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is to come.")] = False,
    header: Annotated[
        list[str] | None, typer.Option(metavar="'NAME: VALUE'", help="For the receiver; may be repeated.")
    ] = None,
    header_file: Annotated[
        Path | None, typer.Option(help="Such headers, one a line, read for each request: credentials belong here.")
    ] = None,
    meter: Annotated[
        str | None, typer.Option(help="Lago's metric or Stripe's event name.  [default: the workload]")
    ] = None,
    customers: Annotated[
        Path | None, typer.Option(help="JSON object from client id to the receiver's name of that customer.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds a receiver may take for a batch.")] = 30,
    patience: Annotated[
        float, typer.Option(min=0, help="Without --follow: seconds to try again before it gives up.")
    ] = 300,
    takeover: Annotated[
        float, typer.Option(min=1, help="Seconds without a sign of life after which an exporter counts as dead.")
    ] = 60,
) -> None:
    """Export events that this group has not had, oldest first, and stop when there are no more.

    An event may arrive again after a crash, always under the same id. Events that the receiver will never take are set
    aside in a stream named `...:events:rejected:GROUP`.
    """
    if not _GROUP.fullmatch(group):
        bad_input("--group must have 1 to 64 letters, digits, dots, dashes or underscores")
    if batch > _MOST_AT_ONCE.get(form, batch):
        bad_input(f"{form} takes at most {_MOST_AT_ONCE[form]} events at once")
    try:
        check(to)
        headers = Headers(header or (), header_file)
    except (BadTarget, BadHeader) as error:
        bad_input(str(error))
    settings = load()
    names = Names(settings.currency.code, meter, _customers(customers))

    async def work(session: Session) -> Exporter:
        from proxy.reporting.export.exporter import Exporter, GaveUp  # noqa: PLC0415
        from proxy.reporting.export.group import Group  # noqa: PLC0415
        from proxy.reporting.export.sinks import Refused  # noqa: PLC0415
        from proxy.reporting.interrupts import on_interrupt  # noqa: PLC0415
        from proxy.store.configured import redis_keys  # noqa: PLC0415

        keys = redis_keys(settings)
        streams = [keys.shared(tag).events for tag in keys.tags]
        try:
            sink = open_sink(to, form, names, headers, timeout)
        except Refused as error:
            fail(str(error), Exit.FAILED)
        exporter = Exporter(
            Group(session.store.redis, streams, group, takeover),
            sink,
            batch=batch,
            takeover=takeover,
            patience=None if follow else patience,
            report=_say,
        )
        try:
            with on_interrupt(exporter.stop):
                await exporter.run(follow=follow)
        except (GaveUp, Refused) as error:
            _say(_summary(exporter))
            fail(str(error), Exit.FAILED)
        finally:
            await sink.close()
        return exporter

    _say(_summary(run(work, settings)))


def _say(line: str) -> None:
    """To standard error: standard output may be where the events go."""
    typer.echo(f"tollgate: {line}", err=True)


def _summary(exporter: Exporter) -> str:
    return f"{exporter.delivered} events exported, {exporter.set_aside} set aside"


def _customers(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    try:
        found = json.loads(file.read_bytes())
    except OSError as error:
        bad_input(f"{file}: {error.strerror}")
    except ValueError as error:
        bad_input(f"{file} is not JSON: {error}")
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        bad_input(f"{file} must be a JSON object of strings")
    return found
