"""Statements over HTTP: the months of an app, and the account of one of them, or of a day, as JSON or CSV."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Response

from middlewares.exchange import Refusal
from proxy.api.caller import Caller, CallerWith
from proxy.api.services import BuilderServices
from proxy.api.statements.models import StatementList, StatementMonth
from proxy.identity.token_issuer import READ
from proxy.reporting.dates import BadDate, Days, parse_period
from proxy.reporting.statements.account import read_statement
from proxy.reporting.statements.months import UsedMonth, used_months
from proxy.reporting.statements.report import document, spreadsheet
from proxy.reporting.stream import UnreadableEvent
from proxy.reporting.tables import CurrencyView, csv_text

CSV = "text/csv"
_SUFFIX = ".csv"
_DESCRIPTION = "A month such as `2026-11`, or a day such as `2026-11-21`, in UTC; with `.csv` behind it as CSV."
Reader = Annotated[Caller, Depends(CallerWith(READ))]
Period = Annotated[str, Path(pattern=r"^[0-9]{4}-[0-9]{2}(-[0-9]{2})?(\.csv)?$", description=_DESCRIPTION)]
Accept = Annotated[str, Header(include_in_schema=False)]  # OpenAPI has the media types of responses for that
AS_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {CSV: {"schema": {"type": "string"}}}}}
"""What the route of one statement returns beside its model."""


class StatementEndpoints:
    """The routes below `/api/v1/apps/{client_id}/statements`."""

    def __init__(self, services: BuilderServices) -> None:
        self._services = services
        self._one_at_a_time = asyncio.Lock()
        """A statement reads every event of its period; the worker's other requests go on between pages of them."""

    async def list(self, client_id: str, caller: Reader) -> StatementList:
        """Return the months since the app was created, with what was used in each."""
        services = self._services
        found = await used_months(services.sources, await services.apps.require(caller.app))
        return StatementList(currency=CurrencyView.of(services.currency), statements=[_month(each) for each in found])

    async def get(self, client_id: str, period: Period, caller: Reader, accept: Accept = "") -> Any:
        """Return the account of an app for a month or a day."""
        services = self._services
        days = _days(period.removesuffix(_SUFFIX))
        app = await services.apps.require(caller.app)
        try:
            async with self._one_at_a_time:
                found = await read_statement(services.sources, caller.app, days, services.plans)
        except UnreadableEvent:
            detail = (
                "An event cannot be read, so that there is no statement; the operator's `tollgate verify` names it."
            )
            raise Refusal(500, "internal_error", detail) from None
        if not period.endswith(_SUFFIX) and not prefers_csv(accept):
            return document(caller.app, app.name, services.currency, found)
        return Response(
            csv_text(*spreadsheet(services.currency, found)),
            media_type=CSV,
            headers={
                "cache-control": "no-store",
                "content-disposition": f'attachment; filename="statement-{period.removesuffix(_SUFFIX)}.csv"',
            },
        )


def prefers_csv(accept: str) -> bool:
    """Return True if an Accept header gives CSV a greater weight than JSON (RFC 9110 section 12.5.1)."""
    weights: dict[str, float] = {}
    for each in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        weights[kind] = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                with suppress(ValueError):
                    weights[kind] = float(parameter[2:])
    return weights.get(CSV, 0.0) > weights.get("application/json", 0.0)


def _month(month: UsedMonth) -> StatementMonth:
    return StatementMonth.model_validate(
        {
            "period": month.period,
            "from": month.days.first,
            "to": month.days.last,
            "over": month.over,
            "request_count": month.total.requests,
            "amount": str(month.total.amount),
        }
    )


def _days(text: str) -> Days:
    try:
        return parse_period(text)
    except BadDate as error:
        raise Refusal(400, "invalid_parameter", str(error)) from None
