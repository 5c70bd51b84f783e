"""`tollgate usage`: what an app has used, from the ledger's running totals."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import date
from enum import StrEnum
from typing import Annotated

import typer

from config.loader import load
from proxy.cli.inputs import AppOption, client_id
from proxy.cli.output import Json, bad_input, print_json, print_table
from proxy.cli.session import Session, run
from proxy.reporting.dates import BadDate, Days, redis_today, span
from proxy.reporting.tables import csv_text
from proxy.reporting.totals import Breakdown, Dimension, read_usage
from proxy.reporting.usage_report import document, spreadsheet, table


class Format(StrEnum):
    """How figures are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


FormatOption = Annotated[Format | None, typer.Option("--format", help="How to print it.  [default: table]")]
FromOption = Annotated[str | None, typer.Option("--from", metavar="DAY", help="First day, as 2026-11-01, in UTC.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day, included.")]


def chosen(form: Format | None, as_json: bool) -> Format:
    """`--format`, of which `--json` is one."""
    if as_json and form not in (None, Format.JSON):
        bad_input("give either --json or --format, not both")
    return Format.JSON if as_json else form or Format.TABLE


def print_csv(header: Sequence[str], rows: Iterable[Sequence[str | int]]) -> None:
    """A table for programs, byte for byte (`echo` would take control characters out)."""
    sys.stdout.buffer.write(csv_text(header, rows).encode())


def usage(
    *,
    app_id: AppOption,
    group_by: Annotated[
        list[Dimension] | None, typer.Option(help="Break it down by this; may be repeated.", show_default=False)
    ] = None,
    first: FromOption = None,
    last: ToOption = None,
    form: FormatOption = None,
    as_json: Json = False,
) -> None:
    """Show the usage of an app, in the current month unless told otherwise."""
    wanted, form = client_id(app_id), chosen(form, as_json)
    try:
        span(first, last, date.min)  # what is wrong with them is told before anything is opened
    except BadDate as error:
        bad_input(str(error))
    settings = load()

    async def read(session: Session) -> tuple[Days, Breakdown]:
        from proxy.store.configured import redis_keys  # noqa: PLC0415

        redis = session.store.redis
        days = span(first, last, await redis_today(redis))
        await session.apps.require(wanted)
        return days, await read_usage(redis, redis_keys(settings), wanted, days, group_by or ())

    try:
        days, found = run(read, settings)
    except BadDate as error:
        bad_input(str(error))
    if form is Format.JSON:
        print_json(document(wanted, days, settings.currency, found))
    elif form is Format.CSV:
        print_csv(*spreadsheet(settings.currency, found))
    else:
        print_table(*table(settings.currency, found))
