"""`tollgate windows`: reports usage by app and day to NaaP."""

from __future__ import annotations

import re
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.loader import load
from proxy.cli.commands.export import customer_names
from proxy.cli.inputs import FromOption, client_id
from proxy.cli.output import Exit, bad_input, fail, report
from proxy.cli.session import CommandSession, on_interrupt, run
from proxy.reporting.dates import BadDate, Days, parse_day, redis_today
from proxy.reporting.export.headers import BadHeader, ReceiverHeaders
from proxy.reporting.export.target import BadTarget, check_address

if TYPE_CHECKING:
    from proxy.reporting.export.naap import WindowReports

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_DAYS_AGAIN = 3
"""Days that are reported anew by default: usage that waited in a journal comes late."""


def windows(
    *,
    to: Annotated[str, typer.Option(metavar="URL", help="NaaP's address; without a path, its ingest.")],
    provider: Annotated[str, typer.Option(help="NaaP's slug of this billing provider.")],
    app_id: Annotated[str | None, typer.Option("--app", metavar="CLIENT_ID", help="Report this app alone.")] = None,
    first: FromOption = None,
    last: Annotated[str | None, typer.Option("--to-day", metavar="DAY", help="Last day in UTC, included.")] = None,
    fees: Annotated[
        bool, typer.Option("--fees", help="Send amounts, too: what apps are charged, in wei or micro-dollars.")
    ] = False,
    customers: Annotated[
        Path | None, typer.Option(help="JSON file that maps client ids to NaaP's ids of accounts.")
    ] = None,
    header_file: Annotated[Path | None, typer.Option(help="File of headers, one a line.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that NaaP has for a window.")] = 30,
    patience: Annotated[float, typer.Option(min=0, help="Seconds of retries before it gives up.")] = 300,
) -> None:
    """Report the usage of each app and UTC day, by default of the last three days that are over.

    NaaP keeps the last report of a day, so it may be repeated at will. Exit code 1 if a window was not taken.
    """
    if not _SLUG.fullmatch(provider):
        bad_input("--provider must have 1 to 63 small letters, digits and dashes")
    wanted = None if app_id is None else client_id(app_id)
    settings = load()
    token = settings.export.token
    accounts = customer_names(customers)
    try:
        check_address(to)
        headers = ReceiverHeaders((), header_file, token.get_secret_value() if token else None)
        begin, end = parse_day(first) if first else None, parse_day(last) if last else None
    except (BadTarget, BadHeader, BadDate) as error:
        bad_input(str(error))

    async def work(session: CommandSession) -> WindowReports:
        from proxy.reporting.export.naap import DIMENSIONS, WindowReports, WindowTerms, window_of  # noqa: PLC0415
        from proxy.reporting.export.retry import GaveUp, Retry  # noqa: PLC0415
        from proxy.reporting.export.sinks import Refused  # noqa: PLC0415
        from proxy.reporting.totals import read_usage  # noqa: PLC0415

        span = _span(begin, end, await redis_today(session.store.redis) - timedelta(days=1))
        terms = WindowTerms(provider, settings.currency, fees)
        if fees and terms.fee is None:
            bad_input("--fees needs amounts in wei (ETH, 18 decimals) or micro-dollars (USD, 6 decimals)")
        retry = Retry(patience, report)
        try:
            reports = WindowReports(to, headers.read, timeout, retry=retry, report=report)
        except Refused as error:
            fail(str(error), Exit.FAILED)
        apps = [wanted] if wanted else [each.client_id for each in await session.apps.list()]
        try:
            with on_interrupt(retry.stopping.set):
                for day, app in product(span.each(), apps):
                    usage = await read_usage(session.sources, app, Days(day, day), DIMENSIONS)
                    if usage.groups and not retry.stopping.is_set():
                        await reports.send(window_of(app, accounts.get(app, app), day, usage, terms))
        except (GaveUp, Refused) as error:
            report(_summary(reports))
            fail(str(error), Exit.FAILED)
        finally:
            await reports.close()
        return reports

    reports = run(work, settings)
    report(_summary(reports))
    if reports.refused:
        raise typer.Exit(Exit.FAILED)


def _span(first: date | None, last: date | None, yesterday: date) -> Days:
    """Return the days to report, which must be over."""
    until = last or yesterday
    span = Days(first or until - min(timedelta(days=_DAYS_AGAIN - 1), until - date.min), until)
    if span.first > span.last or span.last > yesterday:
        bad_input("the span must begin before it ends, and end before today (UTC)")
    return span


def _summary(reports: WindowReports) -> str:
    return f"{reports.taken} windows reported, {reports.refused} refused"
