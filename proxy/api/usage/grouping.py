"""How usage is grouped over HTTP: by one dimension, or by pipeline and model as pymthouse's own client asks for it."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, Field

from config.runtime import Currency
from proxy.reporting.totals import Dimension, GroupValues, UsageTotal

_USD_DECIMALS = 6
"""Decimals of the micro-dollars that pymthouse counts in."""


class Grouping(StrEnum):
    """Values of `groupBy`."""

    NONE = "none"
    USER = "user"
    WORKLOAD = "workload"
    MODEL = "model"
    KEY = "key"
    DAY = "day"
    MONTH = "month"
    PIPELINE_MODEL = "pipeline_model"
    DAILY_PIPELINE = "daily_pipeline"


_PIPELINE = (Dimension.WORKLOAD, Dimension.MODEL)


def dimensions_of(grouping: Grouping | None) -> tuple[Dimension, ...]:
    """Return the dimensions of the groups that are wanted beside users."""
    if grouping in (None, Grouping.NONE, Grouping.USER):
        return ()
    if grouping is Grouping.PIPELINE_MODEL:
        return _PIPELINE
    if grouping is Grouping.DAILY_PIPELINE:
        return (Dimension.DAY, *_PIPELINE)
    return (Dimension(grouping),)


def usd_micros(amount: int, currency: Currency) -> str | None:
    """Return an amount in millionths of a US dollar; None where the currency has no such amount for each of its own."""
    if currency.code != "USD" or currency.decimals > _USD_DECIMALS:
        return None
    return str(amount * 10 ** (_USD_DECIMALS - currency.decimals))


class PipelineUsage(BaseModel):
    """What was used of one model of a pipeline, which is a workload; in pymthouse's words."""

    pipeline: str = Field(description="Empty: events that have no workload.")
    modelId: str = Field(description="Empty: requests that named no model.")  # noqa: N815
    requestCount: int  # noqa: N815
    currency: str
    feeWei: str = Field(description="In atomic units, whatever the currency.")  # noqa: N815
    networkFeeUsdMicros: str | None = Field(  # noqa: N815
        description="The price by the plan; null where the currency is not USD, with 6 decimals at most."
    )

    @classmethod
    def of(cls, values: GroupValues, total: UsageTotal, currency: Currency) -> Self:
        """Return the view of a sum by `dimensions_of(Grouping.PIPELINE_MODEL)`."""
        pipeline, model = values
        return cls(
            pipeline=pipeline,
            modelId=model,
            requestCount=total.requests,
            currency=currency.code,
            feeWei=str(total.amount),
            networkFeeUsdMicros=usd_micros(total.amount, currency),
        )


class DailyPipelineUsage(PipelineUsage):
    """The same on one day (UTC)."""

    date: date

    @classmethod
    def of(cls, values: GroupValues, total: UsageTotal, currency: Currency) -> Self:
        """Return the view of a sum by `dimensions_of(Grouping.DAILY_PIPELINE)`."""
        day, *pipeline = values
        view = PipelineUsage.of(tuple(pipeline), total, currency)
        return cls(**view.model_dump(), date=date.fromisoformat(day))
