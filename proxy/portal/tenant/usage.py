"""Usage of an app by day, workload, model, user or key, as a page and as a file for spreadsheets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from proxy.portal import words
from proxy.portal.access.forms import FilterRefused, typed
from proxy.portal.access.visits import Visit, Visits
from proxy.portal.charts import bar, columns
from proxy.portal.filters import chosen_days
from proxy.portal.pages import PAGE_HEADERS, Pages
from proxy.portal.services import PortalServices
from proxy.portal.tenant.overview import APP
from proxy.reporting.dates import BadDate, Days, month_of, redis_today, span
from proxy.reporting.tables import csv_text
from proxy.reporting.totals import Breakdown, Dimension, UsageTotal, read_usage
from proxy.reporting.usage_report import spreadsheet

_SHOWN = 200
"""Most rows of a page beside those of days; the file has all."""
_TIMES = (Dimension.DAY, Dimension.MONTH)


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One group of the page."""

    label: str
    """What people call it; the id itself where nobody does."""
    id: str
    """What stands beside the label; empty: nothing has to."""
    total: UsageTotal
    bar: int


class UsagePages:
    """The numbers are those of `tollgate usage`, from the same reader."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    def routes(self, visits: Visits) -> Sequence[Route]:
        """Return the routes."""
        return visits.page(f"{APP}/usage", self.show), visits.page(f"{APP}/usage.csv", self.download, again=self.show)

    async def show(self, visit: Visit) -> Response:
        """Show the usage of the chosen days, by default of the current month."""
        today = await redis_today(self._services.sources.client)
        path = f"/portal/apps/{visit.client_id}/usage"
        always: dict[str, Any] = {"usage_path": path, "presets": _presets(today), "dimensions": list(Dimension)}
        if visit.mistake is not None:
            values = typed(visit.mistake, {"from": "", "to": "", "by": ""})
            return self._pages.show("usage.html", visit, values=values, download="", **always)
        days, by = _wanted(visit, today)
        usage = await read_usage(self._services.sources, visit.client_id, days, (by,))
        rows = usage.rows()
        weight = _weight_of(usage)
        largest, count = max((weight(total) for _, total in rows), default=0), len(rows)
        if by not in _TIMES:
            rows.sort(key=lambda row: (-row[1].amount, -row[1].requests, row[0]))
            rows = rows[:_SHOWN]
        names = await self._names(visit.client_id, by, [value for (value,), _ in rows if value])
        shown = [
            UsageRow(
                label=names.get(value) or _label(by, value),
                id=value if names.get(value) else "",
                total=total,
                bar=bar(weight(total), largest),
            )
            for (value,), total in rows
        ]
        values = {"from": f"{days.first}", "to": f"{days.last}", "by": by}
        return self._pages.show(
            "usage.html",
            visit,
            days=days,
            by=by,
            values=values,
            usage=usage,
            units=usage.total.units_used,
            rows=shown,
            hidden=count - len(shown),
            columns=columns(_series(usage, days)) if by is Dimension.DAY else [],
            free=not usage.total.amount,
            download=f"{path}.csv?{urlencode(values)}",
            **always,
        )

    async def download(self, visit: Visit) -> Response:
        """Return what `tollgate usage --format csv` prints for the same days."""
        days, by = _wanted(visit, await redis_today(self._services.sources.client))
        usage = await read_usage(self._services.sources, visit.client_id, days, (by,))
        name = f"usage-{visit.client_id}-{by}-{days.first}-{days.last}.csv"
        headers = {**PAGE_HEADERS, "content-disposition": f'attachment; filename="{name}"'}
        currency = self._services.settings.currency
        text = await asyncio.to_thread(lambda: csv_text(*spreadsheet(currency, usage)))
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)

    async def _names(self, app: str, by: Dimension, ids: Sequence[str]) -> Mapping[str, str]:
        """Return what people call these values of a dimension."""
        if by is Dimension.USER:
            return {each.user_id: each.external_id for each in await self._services.users.several(app, ids)}
        if by is Dimension.KEY:
            found = await self._services.api_keys.several(ids)
            return {each.key_id: each.name for each in found if each.app == app}
        return {}


def _wanted(visit: Visit, today: date) -> tuple[Days, Dimension]:
    """Return the days and the dimension of the query. Raises `FilterRefused`."""
    query = visit.request.query_params
    first, last = query.get("from", ""), query.get("to", "")
    chosen_days(first, last)
    try:
        days = span(first or None, last or None, today)
    except BadDate as error:
        raise FilterRefused("from", f"Expected other days: {error}.") from None
    try:
        return days, Dimension(query.get("by") or Dimension.DAY)
    except ValueError:
        known = ", ".join(Dimension)
        raise FilterRefused("by", f"Usage is shown by one of {known}, and by nothing else.") from None


def _presets(today: date) -> list[tuple[str, Days]]:
    """Return the spans that are one click away, each with its name."""
    this = month_of(today)
    last = month_of(this.first - timedelta(days=1))
    return [("Last 7 days", Days(today - timedelta(days=6), today)), ("This month", this), ("Last month", last)]


def _label(by: Dimension, value: str) -> str:
    if by is Dimension.WORKLOAD:
        return words.workload(value)
    if not value:
        return {Dimension.USER: "The app itself", Dimension.KEY: "By a token", Dimension.MODEL: "No model"}[by]
    return value


def _weight_of(usage: Breakdown) -> Callable[[UsageTotal], int]:
    """Return what charts show: money, or the number of requests where nothing costs any."""
    return (lambda total: total.amount) if usage.total.amount else (lambda total: total.requests)


def _series(usage: Breakdown, days: Days) -> list[tuple[str, int]]:
    """Return the weight of each day, those without usage included, up to the last one that has some."""
    weight = _weight_of(usage)
    weights = {value: weight(total) for (value,), total in usage.rows()}
    each = [f"{day}" for day in days.each()]
    last = max((number for number, day in enumerate(each) if day in weights), default=-1)
    return [(day, weights.get(day, 0)) for day in each[: last + 1]]
