"""Plans: what a customer may use, and what it costs."""

import hashlib
import json
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from config.base import Fault, Model, Whole, check_distinct, faults
from config.live import Live
from config.transcoding import Transcoding
from config.workloads import SaleUnit, Workload


class Billing(StrEnum):
    """How a plan's customers pay the operator."""

    FREE = "free"
    SUBSCRIPTION = "subscription"
    USAGE = "usage"
    CREDITS = "credits"
    PER_REQUEST = "per_request"
    PER_MINUTE = "per_minute"


Amount = Annotated[int, Field(ge=0, le=10**27), Whole]
"""Money in the atomic unit of the deployment's currency. YAML and JSON may write it as a string of digits."""


class Limit(Model):
    """A number that must not be passed. `60` is short for `{max: 60}`."""

    max: Annotated[int, Field(gt=0, le=2**53), Whole] = Field(description="The largest number allowed.")
    shadow: bool = Field(False, description="Only count and report what this limit would have refused.")


def _limit(value: Any, validate: ValidatorFunctionWrapHandler) -> Limit:
    short = not isinstance(value, dict | Limit)
    try:
        limit: Limit = validate({"max": value} if short else value)
    except ValidationError as error:
        raise (faults([((), error.errors()[0]["msg"])]) if short else error) from None
    return limit


Ceiling = Annotated[Limit, WrapValidator(_limit)]


class Cap(Model):
    """How much of a unit may be used up in a calendar period (UTC)."""

    unit: SaleUnit = Field(description="What is counted; `amount` caps the money spent.")
    per: Literal["day", "month"] = Field(description="The calendar period, in UTC.")
    max: Annotated[int, Field(gt=0, le=10**27), Whole] = Field(description="The most that may be used in one period.")
    shadow: bool = Field(False, description="Only count and report what this cap would have refused.")


class Limits(Model):
    """Limits of one scope. What is not named is not limited."""

    requests_per_minute: Ceiling | None = Field(None, description="Requests in any 60 seconds.")
    requests_per_day: Ceiling | None = Field(None, description="Requests in any 24 hours.")
    concurrent: Ceiling | None = Field(None, description="Requests that may be in flight at once.")
    caps: tuple[Cap, ...] = Field((), description="Unit caps per calendar day or month.")

    @field_validator("caps")
    @classmethod
    def _different(cls, caps: tuple[Cap, ...]) -> tuple[Cap, ...]:
        check_distinct([(cap.unit, cap.per) for cap in caps], "caps the same unit in the same period")
        return caps


class ScopedLimits(Model):
    """Limits by whom they count against; a request must pass all of them."""

    key: Limits = Field(Limits(), description="Counted for each API key.")
    user: Limits = Field(
        Limits(), description="Counted for each user of an app (or the app itself, where none is named)."
    )
    app: Limits = Field(Limits(), description="Counted for each app.")
    everyone: Limits = Field(
        Limits(),
        alias="global",
        description="Counted over all apps of the plan. On Redis Cluster each hash tag gets a share.",
    )


class Price(Model):
    """One line of a price list: `amount` for every `per` units, rounded up once per request and line."""

    workload: Workload | None = Field(None, description="The workload it is for; none: the default of all workloads.")
    model: str | None = Field(None, description="The model it is for; none: every model of the workload.")
    unit: SaleUnit = Field(description="What is sold.")
    amount: Amount = Field(description="The price of `per` units, in the currency's atomic unit.")
    per: Annotated[int, Field(ge=1, le=10**9), Whole] = Field(1, description="How many units the amount buys.")

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

    unit: SaleUnit = Field(description="What is included; `amount` includes usage up to that price.")
    per: Literal["day", "month"] = Field(description="The calendar period, in UTC.")
    included: Annotated[int, Field(gt=0, le=10**27), Whole] = Field(
        description="How much of the unit the period includes."
    )
    overage: Literal["charge", "refuse"] = Field(
        "charge", description="What happens past it: pay by the price list, or 402."
    )


class Holds(Model):
    """How much is set aside for a request before its real usage is known."""

    default: Amount = Field(0, description="Reserved where a request's price has no upper bound that can be computed.")
    ceiling: Amount | None = Field(
        None,
        description="The most one hold may reserve, so that worst-case estimates do not starve honest bursts.",
    )


class MaxTokens(Model):
    """How many tokens one chat may ask for. A gateway refuses a chat that does not say, and pays for all it says."""

    default: Annotated[int, Field(ge=1, le=2**31 - 1), Whole] = Field(
        1_024, description="Written into a chat that names none."
    )
    max: Annotated[int, Field(ge=1, le=2**31 - 1), Whole] = Field(
        2**31 - 1, description="A chat that asks for more is refused."
    )

    @field_validator("max")
    @classmethod
    def _above_default(cls, most: int, info: ValidationInfo) -> int:
        if most < info.data.get("default", 0):
            raise ValueError(f"is below the default of {info.data['default']}; lower that, too")
        return most


class Unreadable(Model):
    """What an upload counts as whose own header says nothing. Events mark such units as `estimated`."""

    image_pixels: Annotated[int, Field(ge=1, le=2**32), Whole] = Field(
        1_048_576, description="Width times height of an image that is no PNG, JPEG, WebP or GIF."
    )
    audio_bytes_per_second: Annotated[int, Field(ge=1, le=2**32), Whole] = Field(
        4_000, description="Bytes for a second of a sound that is no WAV, FLAC, MP3, Ogg or MP4."
    )


Disconnect = Literal["measured", "estimate", "free"]
Failure = Literal["measured", "free"]


class Outcomes(Model):
    """What work costs that did not end well. What is not named is as the plan says for all workloads."""

    on_disconnect: Disconnect | None = Field(
        None, description="What a client that goes away pays: what was delivered, the estimate, or nothing."
    )
    on_upstream_error: Failure | None = Field(
        None,
        description="What a request costs that the gateway failed or broke off: what was delivered, or nothing.",
    )


SOLD = {Billing.PER_REQUEST: (SaleUnit.REQUESTS,), Billing.PER_MINUTE: (SaleUnit.MINUTES, SaleUnit.SECONDS)}
"""Billing models that sell nothing but these units."""


class Plan(Model):
    """What a customer on this plan may do, and what it pays."""

    billing: Billing = Field(Billing.FREE, description="How customers of this plan pay.")
    tier: str = Field("standard", pattern=r"^[a-z0-9][a-z0-9_-]*$", description="The routing tier of its requests.")
    limits: ScopedLimits = Field(ScopedLimits(), description="Limits by scope.")
    prices: tuple[Price, ...] = Field(
        (), validate_default=True, description="The price list; the most specific line of each unit counts."
    )
    fee: Amount = Field(0, description="Subscription only: the flat price of one user for one calendar month.")
    allowances: tuple[Allowance, ...] = Field((), description="Usage included in a period.")
    currency: str | None = Field(None, description="If given, must equal the deployment's currency code.")
    holds: Holds = Field(Holds(), description="What is reserved while a request runs.")
    max_tokens: MaxTokens = Field(MaxTokens(), description="Length of the answers of chats.")
    byoc_timeout_seconds: int = Field(
        900, ge=1, le=86_400, description="Longest `timeout_seconds` of a BYOC job; a longer one is cut to it."
    )
    byoc_stream_seconds: int = Field(
        14_400, ge=60, le=604_800, description="A BYOC stream that lives longer is stopped: it may have been forgotten."
    )
    unreadable: Unreadable = Field(Unreadable(), description="What uploads count as that cannot be measured.")
    live: Live = Field(Live(), description="What live streams start with.")
    on_disconnect: Disconnect = Field(
        "measured",
        description="What a client that goes away pays: what was delivered, the estimate, or nothing.",
    )
    on_upstream_error: Failure = Field(
        "free", description="What a request that the gateway failed costs: what was delivered, or nothing."
    )
    outcomes: dict[Workload, Outcomes] = Field({}, description="Other rules for single workloads.")
    transcoding: Transcoding = Field(Transcoding(), description="What pushed segments are transcoded to.")
    on_orphan: Literal["estimate", "refund", "attention"] = Field(
        "refund",
        description="How a hold is resolved whose owner died: charged, released, or released and listed.",
    )
    on_store_loss: Literal["local", "refuse"] | None = Field(
        None,
        description="When Redis is away: a local share of the limits, or 503. None: 503 for credits and caps.",
    )

    @cached_property
    def version(self) -> str:
        """Eight hex digits that change whenever anything in the plan does."""
        text = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def disconnect_rule(self, workload: Workload) -> Disconnect:
        """What a client pays that goes away while this workload is done."""
        special = self.outcomes.get(workload)
        return (special and special.on_disconnect) or self.on_disconnect

    def failure_rule(self, workload: Workload) -> Failure:
        """What a request for this workload costs that the gateway failed."""
        special = self.outcomes.get(workload)
        return (special and special.on_upstream_error) or self.on_upstream_error

    @field_validator("prices")
    @classmethod
    def _priced(cls, prices: tuple[Price, ...], info: ValidationInfo) -> tuple[Price, ...]:
        billing = info.data.get("billing", Billing.SUBSCRIPTION)
        if billing is Billing.FREE and prices:
            raise ValueError("a free plan has no prices; choose another billing model")
        if billing not in (Billing.FREE, Billing.SUBSCRIPTION) and not prices:
            raise ValueError(f"billing model `{billing}` charges by its prices; give at least one")
        sold = SOLD.get(billing)
        wrong: list[Fault] = [
            ((index, "unit"), f"billing model `{billing}` sells {' or '.join(f'`{each}`' for each in sold)}")
            for index, price in enumerate(prices)
            if sold and price.unit not in sold
        ]
        if wrong:
            raise faults(wrong)
        lines = [(price.workload, price.model, price.unit) for price in prices]
        check_distinct(lines, "prices the same unit of the same workload and model")
        return prices

    @field_validator("fee")
    @classmethod
    def _subscribed(cls, fee: int, info: ValidationInfo) -> int:
        if fee and info.data.get("billing", Billing.SUBSCRIPTION) is not Billing.SUBSCRIPTION:
            raise ValueError("a fee belongs to billing model `subscription`")
        return fee

    @field_validator("allowances")
    @classmethod
    def _effective(cls, allowances: tuple[Allowance, ...], info: ValidationInfo) -> tuple[Allowance, ...]:
        check_distinct([each.unit for each in allowances], "includes the same unit")
        sold = {price.unit for price in info.data.get("prices", ())} | {SaleUnit.AMOUNT}
        idle: list[Fault] = [
            ((index, "unit"), f"no price is in `{each.unit}`, so including some of it changes nothing")
            for index, each in enumerate(allowances)
            if "prices" in info.data and each.overage == "charge" and each.unit not in sold
        ]
        if idle:
            raise faults(idle)
        return tuple(sorted(allowances, key=lambda each: each.unit is SaleUnit.AMOUNT))  # money covers what is left


def _simple(tier: str, minute: int, day: int, concurrent: int) -> Plan:
    limits = Limits(
        requests_per_minute=Limit(max=minute, shadow=False),
        requests_per_day=Limit(max=day, shadow=False),
        concurrent=Limit(max=concurrent, shadow=False),
    )
    return Plan(tier=tier, limits=ScopedLimits(app=limits))


BUILT_IN_PLANS: dict[str, Plan] = {
    "free": _simple("standard", minute=10, day=1_000, concurrent=1),
    "standard": _simple("standard", minute=60, day=20_000, concurrent=5),
    "premium": _simple("premium", minute=300, day=200_000, concurrent=20),
    "unlimited": Plan(tier="premium"),
}
"""Plans that exist without any configuration; a plan of the same name in the file replaces one."""
