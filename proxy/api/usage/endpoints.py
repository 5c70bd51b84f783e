"""Usage and balances over HTTP: those of an app for the app, those of a user for itself."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Annotated

from fastapi import Depends, Query
from pydantic import AfterValidator
from starlette.responses import Response

from config.runtime import Currency
from middlewares.auth.records import UserRecord
from middlewares.exchange import Refusal
from middlewares.ledger.credit import prepaid
from proxy.api.caller import Caller, CallerWith, UserCaller
from proxy.api.json_api import long_response
from proxy.api.services import BuilderServices
from proxy.api.usage.grouping import DailyPipelineUsage, Grouping, PipelineUsage, dimensions_of
from proxy.api.usage.models import (
    BalanceReport,
    Period,
    UsageGroup,
    UsageOfUser,
    UsageReport,
    UsageSlice,
    UsageTotals,
)
from proxy.api.usage.requests import Before, PageLimit, Requests, RequestView
from proxy.api.users import require_user
from proxy.history.newest import UsesPage, newest_uses
from proxy.history.places import TimePlace, place_of, text_of
from proxy.history.reader import LedgerEntries
from proxy.identity.token_issuer import READ
from proxy.reporting.dates import BadDate, Days, parse_day, redis_today
from proxy.reporting.request_usage import read_request_usage
from proxy.reporting.stream import decode
from proxy.reporting.tables import CurrencyView
from proxy.reporting.totals import Breakdown, read_usage
from proxy.reporting.user_usage import UserUsage, dimensions_for, usage_by_user


def utc_day(text: str) -> str:
    """Return the UTC day of a day, or of a moment in ISO 8601. Raises `ValueError`."""
    with suppress(BadDate):
        return parse_day(text).isoformat()
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).date().isoformat()
    except (ValueError, OverflowError):
        raise ValueError("must be a day such as 2026-11-21, or a moment such as 2026-11-21T12:00:00Z") from None


UtcDay = Annotated[str, AfterValidator(utc_day)]
StartDate = Annotated[UtcDay | None, Query(description="First day; default: the day the app was created.")]
EndDate = Annotated[UtcDay | None, Query(description="Last day; default: today.")]
GroupBy = Annotated[
    Grouping | None,
    Query(
        description="`user` adds `byUser`, `pipeline_model` `byPipelineModel`, `daily_pipeline` `byDailyPipeline`, "
        "`none` nothing, anything else `groups`."
    ),
]
RequestId = Annotated[str | None, Query(max_length=255, description="Only of the request with this `X-Request-ID`.")]
UserName = Annotated[str | None, Query(max_length=255, description="User id or external id.")]
Reader = Annotated[Caller, Depends(CallerWith(READ))]
Self = Annotated[Caller, Depends(UserCaller())]


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """The part of usage that is wanted."""

    startDate: StartDate = None  # noqa: N815
    endDate: EndDate = None  # noqa: N815
    groupBy: GroupBy = None  # noqa: N815
    gatewayRequestId: RequestId = None  # noqa: N815


@dataclass(frozen=True, slots=True)
class UserQuery:
    """The user that is wanted."""

    userId: UserName = None  # noqa: N815
    externalUserId: UserName = None  # noqa: N815


Part = Annotated[UsageQuery, Depends()]
OfUser = Annotated[UserQuery, Depends()]


class UsageEndpoints:
    """The routes below `/api/v1/apps/{client_id}/usage` and `/api/v1/user/usage`."""

    def __init__(self, services: BuilderServices) -> None:
        self._services = services

    async def usage(self, client_id: str, caller: Reader, part: Part, of_user: OfUser) -> Response:
        """Return the usage of an app by its users, over its whole history unless days are given."""
        return await self._report(caller.app, await self._named(caller.app, of_user), part)

    async def balance(self, client_id: str, caller: Reader, of_user: OfUser) -> BalanceReport:
        """Return the wallet of an app, or of one of its users."""
        return await self._balance(caller.app, await self._named(caller.app, of_user))

    async def own_usage(self, caller: Self, part: Part, of_user: OfUser) -> Response:
        """Return the usage of the calling user, which its credential names and nothing else."""
        return await self._report(caller.app, await self._itself(caller, of_user), part)

    async def own_balance(self, caller: Self, of_user: OfUser) -> BalanceReport:
        """Return the wallet of the calling user."""
        return await self._balance(caller.app, await self._itself(caller, of_user))

    async def own_requests(
        self,
        *,
        caller: Self,
        of_user: OfUser,
        startDate: StartDate = None,  # noqa: N803
        endDate: EndDate = None,  # noqa: N803
        limit: PageLimit = 50,
        before: Before = None,
    ) -> Requests:
        """Return the requests of the calling user by page, the newest first."""
        user = await self._itself(caller, of_user)
        days, sources = await self._days(caller.app, startDate, endDate), self._services.sources
        place = place_of(before, TimePlace) if before else None
        page = UsesPage((days.start_ms, days.end_ms), place, limit, user=user.user_id)
        entries, following = await newest_uses(sources, caller.app, page)
        stream = LedgerEntries.of_app(sources, caller.app).stream
        found = [RequestView.of(decode(stream, entry, fields)) for entry, fields in entries]
        span, next_ = (days.first, days.last), text_of(following) if following else None
        return Requests.of(user, self._services.currency, span, found, next_)

    async def _itself(self, caller: Caller, of_user: UserQuery) -> UserRecord:
        if of_user != UserQuery():
            detail = "The user is the one of the credential; leave out userId and externalUserId."
            raise Refusal(400, "invalid_parameter", detail)
        return await require_user(self._services.users, caller.app, caller.user or "")

    async def _named(self, app: str, of_user: UserQuery) -> UserRecord | None:
        names = [name for name in (of_user.userId, of_user.externalUserId) if name is not None]
        if len(names) > 1:
            raise Refusal(400, "invalid_parameter", "Give userId or externalUserId, not both.")
        return await require_user(self._services.users, app, names[0]) if names else None

    async def _report(self, app: str, user: UserRecord | None, part: UsageQuery) -> Response:
        services = self._services
        days = await self._days(app, part.startDate, part.endDate)
        dimensions = dimensions_for(dimensions_of(part.groupBy))
        only = user.user_id if user else None
        if part.gatewayRequestId is None:
            read = await read_usage(services.sources, app, days, dimensions, user=only)
        else:
            read = await read_request_usage(services.sources, app, part.gatewayRequestId, days, dimensions)
        records = {each.user_id: each for each in (await services.users.list(app) if user is None else [user])}
        compose = partial(_composed, app, days, read, only, records, grouping=part.groupBy, currency=services.currency)
        return await long_response(compose)  # clients name the models

    async def _days(self, app: str, start: str | None, end: str | None) -> Days:
        """Return the wanted days, from the app's first to today and no others: no more can hold usage."""
        created = (await self._services.apps.require(app)).created_at.date()
        today = await redis_today(self._services.sources.client)
        first = date.fromisoformat(start) if start else created
        last = date.fromisoformat(end) if end else max(today, first)
        if first > last:
            raise Refusal(400, "invalid_parameter", f"The period begins on {first}, after it ends on {last}.")
        last = min(last, max(today, first))
        return Days(min(max(first, created), last), last)

    async def _balance(self, app: str, user: UserRecord | None) -> BalanceReport:
        services = self._services
        found = await prepaid.balance(services.runner, services.sources.keys, app, user.user_id if user else None)
        return BalanceReport.of(app, user, found, services.currency)


def _composed(
    app: str,
    days: Days,
    read: Breakdown,
    only: str | None,
    records: Mapping[str, UserRecord],
    *,
    grouping: Grouping | None,
    currency: Currency,
) -> UsageReport:
    """Return the report on what was read, of one user only if it is named."""
    beside = dimensions_of(grouping)
    found = usage_by_user(read, beside, only)
    ids = [*records, *(each for each in found.users if each not in records)]
    users = [UsageOfUser.of(each, records.get(each), found.users.get(each, UserUsage())) for each in ids]
    groups = found.groups.items()
    return UsageReport(
        clientId=app,
        currency=CurrencyView.of(currency),
        period=Period(start=days.first, end=days.last),
        totals=UsageTotals(requestCount=found.total.requests, totalFeeWei=str(found.total.amount)),
        users=users,
        byUser=[UsageGroup.of(each, currency) for each in users] if grouping is Grouping.USER else None,
        byPipelineModel=[PipelineUsage.of(*each, currency) for each in groups]
        if grouping is Grouping.PIPELINE_MODEL
        else None,
        byDailyPipeline=[DailyPipelineUsage.of(*each, currency) for each in groups]
        if grouping is Grouping.DAILY_PIPELINE
        else None,
        groups=[UsageSlice.of(value, total) for (value,), total in groups] if len(beside) == 1 else None,
    )
