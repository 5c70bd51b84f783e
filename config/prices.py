"""The money of a plan: prices, allowances, and what is held for a request."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from config.base import Model, Whole
from config.workloads import SaleUnit, Workload

Amount = Annotated[int, Field(ge=0, le=10**27), Whole]
"""Money in the atomic unit of the deployment's currency. YAML and JSON may write it as a string of digits."""


class Price(Model):
    """One line of a price list: `amount` for every `per` units, rounded up once per request and line."""

    workload: Workload | None = Field(None, description="Workload of the price; none: the default of all workloads.")
    model: str | None = Field(None, description="Model of the price; none: every model of the workload.")
    unit: SaleUnit = Field(description="Unit that is sold.")
    amount: Amount = Field(description="Price of `per` units, in the currency's atomic unit.")
    per: Annotated[int, Field(ge=1, le=10**9), Whole] = Field(1, description="Number of units that `amount` buys.")

    @field_validator("model")
    @classmethod
    def _of_a_workload(cls, model: str | None, info: ValidationInfo) -> str | None:
        if model is not None and "workload" in info.data and info.data["workload"] is None:
            raise ValueError("a price for a model must name its workload")
        return model

    @field_validator("unit")
    @classmethod
    def _sellable(cls, unit: SaleUnit) -> SaleUnit:
        if unit is SaleUnit.AMOUNT:
            raise ValueError("`amount` is money and cannot be sold; name a unit such as `pixels` or `output_tokens`")
        return unit


class Allowance(Model):
    """Units included in a period before the price list applies."""

    unit: SaleUnit = Field(description="Unit that is included; `amount` includes usage up to that price.")
    per: Literal["day", "month"] = Field(description="The calendar period, in UTC.")
    included: Annotated[int, Field(gt=0, le=10**27), Whole] = Field(
        description="How much of the unit the period includes."
    )
    overage: Literal["charge", "refuse"] = Field(
        "charge", description="Past it: charge by the price list, or refuse with 402."
    )


class Holds(Model):
    """Amounts reserved for a request before its usage is known."""

    default: Amount = Field(0, description="Reserved for a request whose highest price cannot be computed.")
    ceiling: Amount | None = Field(
        None,
        description="The most that is reserved for one request, so that worst-case estimates do not block bursts.",
    )
