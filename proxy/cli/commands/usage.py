"""`tollgate usage`: the usage of an app, from the ledger's running totals."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from config.loader import load
from proxy.cli.inputs import AppOption, FormatOption, FromOption, ReportFormat, ToOption, chosen_format, client_id
from proxy.cli.output import Json, bad_input, print_csv, print_json, print_table
from proxy.cli.session import CommandSession, run
from proxy.reporting.dates import BadDate, Days, redis_today, span
from proxy.reporting.totals import Breakdown, Dimension, read_usage
from proxy.reporting.usage_report import document, spreadsheet, table


def usage(
    *,
    app_id: AppOption,
    group_by: Annotated[
        list[Dimension] | None, typer.Option(help="Break usage down by this; may be repeated.", show_default=False)
    ] = None,
    first: FromOption = None,
    last: ToOption = None,
    form: FormatOption = None,
    as_json: Json = False,
) -> None:
    """Show the usage of an app, by default in the current month."""
    wanted, form = client_id(app_id), chosen_format(form, as_json)
    try:
        span(first, last, date.min)  # errors are reported before anything is opened
    except BadDate as error:
        bad_input(str(error))
    settings = load()

    async def read(session: CommandSession) -> tuple[Days, Breakdown]:
        days = span(first, last, await redis_today(session.store.redis))
        await session.apps.require(wanted)
        return days, await read_usage(session.sources, wanted, days, group_by or ())

    try:
        days, found = run(read, settings)
    except BadDate as error:
        bad_input(str(error))
    if form is ReportFormat.JSON:
        print_json(document(wanted, days, settings.currency, found))
    elif form is ReportFormat.CSV:
        print_csv(*spreadsheet(settings.currency, found))
    else:
        print_table(*table(settings.currency, found))
