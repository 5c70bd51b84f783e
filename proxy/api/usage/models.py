"""Usage and balances as the builder API returns them. Amounts are decimal strings of the currency's atomic unit."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Self

from pydantic import BaseModel, Field

from config.runtime import Currency
from config.workloads import Unit
from middlewares.auth.records import UserRecord
from middlewares.ledger.credit.prepaid import Balance
from proxy.api.usage.grouping import DailyPipelineUsage, PipelineUsage, usd_micros
from proxy.reporting.tables import Amount, CurrencyView
from proxy.reporting.totals import UsageTotal
from proxy.reporting.user_usage import UserUsage


class Period(BaseModel):
    """Whole days in UTC, both included."""

    start: date
    end: date


class UsageTotals(BaseModel):
    """A sum over all requests of a period."""

    requestCount: int  # noqa: N815
    totalFeeWei: Amount = Field(description="In atomic units, whatever the currency.")  # noqa: N815


class UsageOfUser(BaseModel):
    """What one user used, in the tutorial's words."""

    user_id: str
    external_id: str
    email: str = Field(description="Empty: not known.")
    total_wei: Amount
    request_count: int
    last_used_at: str = Field(description="Begin of the UTC day of the last use; empty: never used.")

    @classmethod
    def of(cls, user_id: str, user: UserRecord | None, usage: UserUsage) -> Self:
        """Return the view; a user of a foreign issuer has no record, and its id is the external one."""
        last = usage.last_day
        return cls(
            user_id=user_id,
            external_id=user.external_id if user else user_id,
            email=(user.email if user else None) or "",
            total_wei=str(usage.amount),
            request_count=usage.requests,
            last_used_at=datetime.combine(last, time(), UTC).isoformat().replace("+00:00", "Z") if last else "",
        )


class UsageGroup(BaseModel):
    """What one user used, in pymthouse's words."""

    endUserId: str  # noqa: N815
    externalUserId: str  # noqa: N815
    requestCount: int  # noqa: N815
    feeWei: Amount  # noqa: N815
    currency: str
    networkFeeUsdMicros: Amount | None = Field(  # noqa: N815
        description="The price by the plan; null where the currency is not USD, with 6 decimals at most."
    )

    @classmethod
    def of(cls, usage: UsageOfUser, currency: Currency) -> Self:
        """Return the same usage in the other spelling."""
        return cls(
            endUserId=usage.user_id,
            externalUserId=usage.external_id,
            requestCount=usage.request_count,
            feeWei=usage.total_wei,
            currency=currency.code,
            networkFeeUsdMicros=usd_micros(int(usage.total_wei), currency),
        )


class UsageSlice(BaseModel):
    """What was used under one value of the dimension of `groupBy`."""

    value: str | None = Field(description="Such as a day, a model or the id of a key; null: events that have none.")
    requestCount: int  # noqa: N815
    units: dict[Unit, int]
    feeWei: Amount  # noqa: N815

    @classmethod
    def of(cls, value: str, total: UsageTotal) -> Self:
        """Return the view of a sum."""
        units = {unit: total.units[unit] for unit in total.units_used}
        return cls(value=value or None, requestCount=total.requests, units=units, feeWei=str(total.amount))


class UsageReport(BaseModel):
    """The usage of an app, or of one of its users."""

    clientId: str  # noqa: N815
    currency: CurrencyView
    period: Period
    totals: UsageTotals
    users: list[UsageOfUser]
    byUser: list[UsageGroup] | None = Field(description="Only with `groupBy=user`.")  # noqa: N815
    byPipelineModel: list[PipelineUsage] | None = Field(  # noqa: N815
        description="Only with `groupBy=pipeline_model`."
    )
    byDailyPipeline: list[DailyPipelineUsage] | None = Field(  # noqa: N815
        description="Only with `groupBy=daily_pipeline`: days in order."
    )
    groups: list[UsageSlice] | None = Field(description="Only with another `groupBy`: its values, in order.")


class BalanceReport(BaseModel):
    """A wallet of prepaid credits; all zero where there is none."""

    clientId: str  # noqa: N815
    userId: str | None = Field(description="null: the wallet of the app.")  # noqa: N815
    externalUserId: str | None  # noqa: N815
    currency: CurrencyView
    available: Amount = Field(description="What a request can still reserve.")
    granted: Amount
    spent: Amount
    held: Amount = Field(description="Reserved for requests that run.")

    @classmethod
    def of(cls, app: str, user: UserRecord | None, balance: Balance, currency: Currency) -> Self:
        """Return the view of a wallet."""
        return cls(
            clientId=app,
            userId=user.user_id if user else None,
            externalUserId=user.external_id if user else None,
            currency=CurrencyView.of(currency),
            available=str(balance.available),
            granted=str(balance.granted),
            spent=str(balance.spent),
            held=str(balance.held),
        )
