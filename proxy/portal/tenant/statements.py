"""Statements of an app: the months, and the account of one of them, as a page for people, as CSV and as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from middlewares.exchange import Refusal
from proxy.portal.access.visits import Visit, Visits
from proxy.portal.pages import PAGE_HEADERS, Pages
from proxy.portal.services import PortalServices
from proxy.portal.tenant.overview import APP
from proxy.reporting.dates import BadDate, Days, parse_period
from proxy.reporting.statements.account import read_statement
from proxy.reporting.statements.months import used_months
from proxy.reporting.statements.report import document, spreadsheet
from proxy.reporting.statements.statement import LineKind, Statement
from proxy.reporting.stream import UnreadableEvent
from proxy.reporting.tables import csv_text
from proxy.reporting.totals import UNITS

_SHOWN = 500
"""Most lines, and most wallets, of a page; the files have all."""


class StatementPages:
    """The account is the one of `tollgate statements` and of the API."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._services = services
        self._pages = pages
        self._one_at_a_time = asyncio.Lock()
        """A statement reads every event of its period; the worker's other requests go on between pages of them."""

    def routes(self, visits: Visits) -> Sequence[Route]:
        """Return the routes."""
        path = f"{APP}/statements"
        return (
            visits.page(path, self.show_all),
            visits.page(f"{path}/{{period}}.csv", self.spreadsheet),
            visits.page(f"{path}/{{period}}.json", self.document),
            visits.page(f"{path}/{{period}}", self.show),
        )

    async def show_all(self, visit: Visit) -> Response:
        """Show the months since the app was created, the latest first."""
        assert visit.app is not None  # noqa: S101 - the path names it
        months = await used_months(self._services.sources, visit.app)
        return self._pages.show("statements.html", visit, months=months)

    async def show(self, visit: Visit) -> Response:
        """Show one statement, in a form that prints well."""
        period, found = await self._statement(visit)
        return self._pages.show(
            "statement.html",
            visit,
            period=period,
            statement=found,
            lines=found.lines[:_SHOWN],
            units=[unit for unit in UNITS if any(line.total.units.get(unit) for line in found.lines)],
            kinds=list(LineKind),
            wallets=found.wallets[:_SHOWN],
            users=await self._names(visit.client_id, found),
            shown=_SHOWN,
        )

    async def spreadsheet(self, visit: Visit) -> Response:
        """Return the lines as `tollgate statements --format csv` prints them."""
        period, found = await self._statement(visit)
        text = csv_text(*spreadsheet(self._services.settings.currency, found))
        return _download(visit, text, period, "csv", "text/csv; charset=utf-8")

    async def document(self, visit: Visit) -> Response:
        """Return the document that the API returns."""
        assert visit.app is not None  # noqa: S101 - the path names it
        period, found = await self._statement(visit)
        text = json.dumps(document(visit.client_id, visit.app.name, self._services.settings.currency, found), indent=2)
        return _download(visit, f"{text}\n", period, "json", "application/json")

    async def _statement(self, visit: Visit) -> tuple[str, Statement]:
        """Return the period of the path, and its statement. Raises `Refusal`: 404, and 500 for an unreadable event."""
        services, period = self._services, visit.request.path_params["period"]
        days = _days(period)
        try:
            async with self._one_at_a_time:
                return period, await read_statement(services.sources, visit.client_id, days, services.plans)
        except UnreadableEvent:
            detail = (
                "An event cannot be read, so that there is no statement; the operator's `tollgate verify` names it."
            )
            raise Refusal(500, "internal_error", detail) from None

    async def _names(self, app: str, statement: Statement) -> dict[str, str]:
        owners = [user for user, _ in statement.wallets[:_SHOWN] if user]
        return {each.user_id: each.external_id for each in await self._services.users.several(app, owners)}


def _days(period: str) -> Days:
    try:
        return parse_period(period)
    except BadDate as error:
        raise Refusal(404, "not_found", f"There is no statement of that name: {error}.") from None


def _download(visit: Visit, text: str, period: str, kind: str, media_type: str) -> Response:
    name = f'attachment; filename="statement-{visit.client_id}-{period}.{kind}"'
    return Response(text, media_type=media_type, headers={**PAGE_HEADERS, "content-disposition": name})
