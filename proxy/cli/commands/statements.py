"""`tollgate statements`: the account of an app for a month or a day, computed from its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from config.loader import load
from proxy.cli.inputs import AppOption, FormatOption, ReportFormat, chosen_format, client_id
from proxy.cli.output import Exit, Json, bad_input, fail, print_csv, print_json, print_one, print_table
from proxy.cli.session import CommandSession, run
from proxy.reporting.dates import BadDate, parse_period
from proxy.reporting.statement import Statement
from proxy.reporting.statement_report import document, spreadsheet, summary, table, wallets

if TYPE_CHECKING:
    from middlewares.auth.records import AppRecord


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
        days = parse_period(period)
    except BadDate as error:
        bad_input(str(error))
    settings = load()
    plans = settings.all_plans()

    async def read(session: CommandSession) -> tuple[AppRecord, Statement]:
        from proxy.reporting.account import read_statement  # noqa: PLC0415
        from proxy.reporting.stream import UnreadableEvent  # noqa: PLC0415

        app = await session.apps.require(wanted)
        try:
            return app, await read_statement(session.sources, wanted, days, plans)
        except UnreadableEvent as error:
            fail(f"no statement: {error}", Exit.FAILED)

    app, found = run(read, settings)
    if form is ReportFormat.JSON:
        print_json(document(wanted, app.name, settings.currency, found))
    elif form is ReportFormat.CSV:
        print_csv(*spreadsheet(settings.currency, found))
    else:
        print_one(summary(wanted, app.name, settings.currency, found), as_json=False)
        typer.echo()
        print_table(*table(settings.currency, found))
        if found.wallets:
            typer.echo()
            print_table(*wallets(settings.currency, found))
