"""`tollgate statements`: the account of an app for a month or a day, computed from its events."""

from __future__ import annotations

from typing import Annotated

import typer

from config.runtime import Currency
from proxy.cli.inputs import AppOption, FormatOption, ReportFormat, chosen_format, client_id
from proxy.cli.output import Json, bad_input, print_csv, print_json, print_one, print_table
from proxy.cli.session import operate
from proxy.reporting.dates import BadDate, parse_period
from proxy.reporting.statements.report import spreadsheet, statement_of, summary, table, wallets


def statements(
    app_id: AppOption,
    period: Annotated[
        str, typer.Option(metavar="MONTH|DAY", help="Month or day in UTC, such as 2026-11 or 2026-11-21.")
    ],
    form: FormatOption = None,
    as_json: Json = False,
) -> None:
    """Print the account of an app for a period; its lines add up exactly to its events."""
    wanted, form = client_id(app_id), chosen_format(form, as_json)
    try:
        parse_period(period)
    except BadDate as error:
        bad_input(str(error))
    found = operate(lambda operations: operations.reports.statement(wanted, period))
    document = found.model_dump(mode="json", by_alias=True)
    currency = Currency(**document["currency"])
    if form is ReportFormat.JSON:
        print_json(document)
        return
    statement = statement_of(document)
    if form is ReportFormat.CSV:
        print_csv(*spreadsheet(currency, statement))
        return
    print_one(summary(wanted, found.name, currency, statement), as_json=False)
    typer.echo()
    print_table(*table(currency, statement))
    if statement.wallets:
        typer.echo()
        print_table(*wallets(currency, statement))
