"""`tollgate export`: sends usage events to another system, at least once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.loader import load
from config.workloads import Unit
from proxy.api.admin.ledger_documents import GROUP_PATTERN
from proxy.cli.output import Exit, bad_input, fail, report
from proxy.cli.session import CommandSession, on_interrupt, run
from proxy.reporting.export.formats import FormatName, ReceiverNames
from proxy.reporting.export.headers import BadHeader, ReceiverHeaders
from proxy.reporting.export.target import MOST_AT_ONCE, BadTarget, Target

if TYPE_CHECKING:
    from proxy.reporting.export.exporter import Exporter

_VALUES = ("amount", *Unit)


def export(
    *,
    to: Annotated[str, typer.Option(metavar="stdout|file:PATH|postgresql|URL", help="Destination of the events.")],
    form: Annotated[FormatName, typer.Option("--format", help="Format of the events.")] = FormatName.CLOUDEVENTS,
    group: Annotated[str, typer.Option(help="Name of the receiver: each group gets every event once.")] = "export",
    batch: Annotated[int, typer.Option(min=1, max=1_000, help="Most events in one batch.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for new events, until Ctrl-C.")] = False,
    header: Annotated[
        list[str] | None, typer.Option(metavar="'NAME: VALUE'", help="Header for the receiver; may be repeated.")
    ] = None,
    header_file: Annotated[
        Path | None, typer.Option(help="File of headers, one a line, read for each request: for credentials.")
    ] = None,
    meter: Annotated[
        str | None, typer.Option(help="Lago's metric code or Stripe's event name.  [default: the workload]")
    ] = None,
    value: Annotated[str, typer.Option(help="What Stripe's meter adds up: amount, or a unit.")] = "amount",
    table: Annotated[str, typer.Option(help="Table for --to postgresql, made if missing.")] = "tollgate_events",
    customers: Annotated[
        Path | None, typer.Option(help="JSON file that maps client ids to the receiver's ids of customers.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that the receiver has for a batch.")] = 30,
    patience: Annotated[
        float, typer.Option(min=0, help="Without --follow: seconds of retries before it gives up.")
    ] = 300,
    takeover: Annotated[
        float, typer.Option(min=1, help="Seconds of silence after which another exporter of the group counts as dead.")
    ] = 60,
) -> None:
    """Export events that this group has not exported, oldest first, and stop when there are no more.

    An event may arrive again after a crash, always under the same id. Events that the receiver rejects for good are set
    aside in a stream named `...:events:rejected:GROUP`.
    """
    if not re.fullmatch(GROUP_PATTERN, group):
        bad_input("--group must have 1 to 64 letters, digits, dots, dashes or underscores")
    if batch > MOST_AT_ONCE.get(form, batch):
        bad_input(f"{form} takes at most {MOST_AT_ONCE[form]} events at once")
    if value not in _VALUES:
        bad_input(f"--value must be one of {', '.join(_VALUES)}")
    settings = load()
    token, postgresql_url = settings.export.token, settings.export.postgresql_url
    try:
        target = Target(
            to=to,
            form=form,
            names=ReceiverNames(settings.currency.code, meter, customer_names(customers), value),
            headers=ReceiverHeaders(header or (), header_file, token.get_secret_value() if token else None),
            timeout=timeout,
            table=table,
            postgresql_url=postgresql_url.get_secret_value() if postgresql_url else None,
        )
        target.check()
    except (BadTarget, BadHeader) as error:
        bad_input(str(error))

    async def work(session: CommandSession) -> Exporter:
        from proxy.reporting.export.exporter import Exporter  # noqa: PLC0415
        from proxy.reporting.export.group import ConsumerGroup  # noqa: PLC0415
        from proxy.reporting.export.retry import GaveUp  # noqa: PLC0415
        from proxy.reporting.export.sinks import Refused  # noqa: PLC0415

        try:
            sink = target.open()
        except Refused as error:
            fail(str(error), Exit.FAILED)
        exporter = Exporter(
            ConsumerGroup(session.sources, group, takeover),
            sink,
            batch=batch,
            takeover=takeover,
            patience=None if follow else patience,
            report=report,
        )
        try:
            with on_interrupt(exporter.stop):
                await exporter.run(follow=follow)
        except (GaveUp, Refused) as error:
            report(_summary(exporter))
            fail(str(error), Exit.FAILED)
        finally:
            await sink.close()
        return exporter

    report(_summary(run(work, settings)))


def _summary(exporter: Exporter) -> str:
    return f"{exporter.delivered} events exported, {exporter.set_aside} set aside"


def customer_names(file: Path | None) -> dict[str, str]:
    """Return the receiver's ids of customers by client id, from a JSON file; none without a file."""
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
