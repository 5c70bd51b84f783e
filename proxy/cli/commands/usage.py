"""`tollgate usage`: the usage of an app, from the ledger's running totals."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from config.runtime import Currency
from proxy.cli.inputs import AppOption, FormatOption, FromOption, ReportFormat, ToOption, chosen_format, client_id
from proxy.cli.output import Json, bad_input, print_csv, print_json, print_table
from proxy.cli.session import operate
from proxy.reporting.dates import BadDate, span
from proxy.reporting.totals import Dimension
from proxy.reporting.usage_report import breakdown_of, spreadsheet, table


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
    found = operate(lambda operations: operations.reports.usage(wanted, first, last, list(group_by or ())))
    document = found.model_dump(mode="json", by_alias=True)
    currency = Currency(**document["currency"])
    if form is ReportFormat.JSON:
        print_json(document)
        return
    counted = breakdown_of(document, group_by or ())
    if form is ReportFormat.CSV:
        print_csv(*spreadsheet(currency, counted))
    else:
        print_table(*table(currency, counted))
