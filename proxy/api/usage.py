"""Usage and balances over HTTP: those of an app for the app, those of a user for itself."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from fastapi import Depends, Query
from pydantic import AfterValidator

from middlewares.auth.records import UserRecord
from middlewares.exchange import Refusal
from middlewares.ledger.credit import prepaid
from proxy.api.caller import Caller, CallerWith, UserCaller
from proxy.api.services import BuilderServices
from proxy.api.usage_models import (
    BalanceReport,
    CurrencyView,
    Period,
    UsageGroup,
    UsageOfUser,
    UsageReport,
    UsageTotals,
)
from proxy.api.users import require_user
from proxy.identity.token_issuer import READ
from proxy.reporting.dates import BadDate, Days, parse_day, redis_today
from proxy.reporting.user_usage import UserUsage, read_usage_by_user


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
GroupBy = Annotated[Literal["user"] | None, Query(description="`user` adds `byUser`.")]
UserName = Annotated[str | None, Query(max_length=255, description="User id or external id.")]
Reader = Annotated[Caller, Depends(CallerWith(READ))]
Self = Annotated[Caller, Depends(UserCaller())]


class UsageEndpoints:
    """The routes below `/api/v1/apps/{client_id}/usage` and `/api/v1/user/usage`."""

    def __init__(self, services: BuilderServices) -> None:
        self._services = services

    async def usage(
        self,
        client_id: str,
        caller: Reader,
        *,
        startDate: StartDate = None,  # noqa: N803
        endDate: EndDate = None,  # noqa: N803
        groupBy: GroupBy = None,  # noqa: N803
        userId: UserName = None,  # noqa: N803
        externalUserId: UserName = None,  # noqa: N803
        gatewayRequestId: Annotated[str | None, Query(max_length=255, description="Not supported.")] = None,  # noqa: N803
    ) -> UsageReport:
        """Return the usage of an app by its users, over its whole history unless days are given."""
        if gatewayRequestId is not None:  # ignored, the sum of all would pass for that of one request
            raise Refusal(400, "invalid_parameter", "Usage cannot be selected by gatewayRequestId.")
        user = await self._named(caller.app, userId, externalUserId)
        return await self._report(caller.app, user, startDate, endDate, by_user=groupBy == "user")

    async def balance(
        self,
        client_id: str,
        caller: Reader,
        userId: UserName = None,  # noqa: N803
        externalUserId: UserName = None,  # noqa: N803
    ) -> BalanceReport:
        """Return the wallet of an app, or of one of its users."""
        return await self._balance(caller.app, await self._named(caller.app, userId, externalUserId))

    async def own_usage(
        self,
        caller: Self,
        startDate: StartDate = None,  # noqa: N803
        endDate: EndDate = None,  # noqa: N803
        userId: UserName = None,  # noqa: N803
        externalUserId: UserName = None,  # noqa: N803
    ) -> UsageReport:
        """Return the usage of the calling user, which its credential names and nothing else."""
        user = await self._itself(caller, userId, externalUserId)
        return await self._report(caller.app, user, startDate, endDate, by_user=False)

    async def own_balance(
        self,
        caller: Self,
        userId: UserName = None,  # noqa: N803
        externalUserId: UserName = None,  # noqa: N803
    ) -> BalanceReport:
        """Return the wallet of the calling user."""
        return await self._balance(caller.app, await self._itself(caller, userId, externalUserId))

    async def _itself(self, caller: Caller, *names: str | None) -> UserRecord:
        if any(name is not None for name in names):
            detail = "The user is the one of the credential; leave out userId and externalUserId."
            raise Refusal(400, "invalid_parameter", detail)
        return await require_user(self._services.users, caller.app, caller.user or "")

    async def _named(self, app: str, user_id: str | None, external_id: str | None) -> UserRecord | None:
        if user_id is not None and external_id is not None:
            raise Refusal(400, "invalid_parameter", "Give userId or externalUserId, not both.")
        name = user_id if user_id is not None else external_id
        return None if name is None else await require_user(self._services.users, app, name)

    async def _report(
        self, app: str, user: UserRecord | None, start: str | None, end: str | None, *, by_user: bool
    ) -> UsageReport:
        services = self._services
        days = await self._days(app, start, end)
        found = await read_usage_by_user(services.sources, app, days)
        records = {each.user_id: each for each in (await services.users.list(app) if user is None else [user])}
        ids = [*records, *(each for each in found.users if user is None and each not in records)]
        users = [UsageOfUser.of(each, records.get(each), found.users.get(each, UserUsage())) for each in ids]
        if user is None:
            totals = UsageTotals(requestCount=found.total.requests, totalFeeWei=str(found.total.amount))
        else:
            totals = UsageTotals(requestCount=users[0].request_count, totalFeeWei=users[0].total_wei)
        return UsageReport(
            clientId=app,
            currency=CurrencyView.of(services.currency),
            period=Period(start=days.first, end=days.last),
            totals=totals,
            users=users,
            byUser=[UsageGroup.of(each) for each in users] if by_user else None,
        )

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
