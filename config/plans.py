"""Plans: what a customer may use, and what it costs."""

import hashlib
import json
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from config.base import Fault, Model, Whole, check_distinct, faults
from config.fallbacks import Fallback
from config.limits import Limit, Limits, Maxima, ScopedLimits
from config.live import Live, Signing
from config.prices import Allowance, Amount, Holds, Price
from config.transcoding import Transcoding
from config.workloads import SaleUnit, Workload


class Billing(StrEnum):
    """Billing models, by which customers pay the operator."""

    FREE = "free"
    SUBSCRIPTION = "subscription"
    USAGE = "usage"
    CREDITS = "credits"
    PER_REQUEST = "per_request"
    PER_MINUTE = "per_minute"


class MaxTokens(Model):
    """Bounds of a chat's `max_tokens`. A gateway refuses a chat without it, and pays its network for all of it."""

    default: Annotated[int, Field(ge=1, le=2**31 - 1), Whole] = Field(
        1_024, description="`max_tokens` of a chat that names none."
    )
    max: Annotated[int, Field(ge=1, le=2**31 - 1), Whole] = Field(
        2**31 - 1, description="Largest `max_tokens`; a chat with more is refused."
    )

    @field_validator("max")
    @classmethod
    def _above_default(cls, most: int, info: ValidationInfo) -> int:
        if most < info.data.get("default", 0):
            raise ValueError(f"is below the default of {info.data['default']}; lower that, too")
        return most


class Unreadable(Model):
    """Sizes of uploads whose own header cannot be read. Events mark such units as `estimated`."""

    image_pixels: Annotated[int, Field(ge=1, le=2**32), Whole] = Field(
        1_048_576, description="Pixels (width times height) of an image that is no PNG, JPEG, WebP or GIF."
    )
    audio_bytes_per_second: Annotated[int, Field(ge=1, le=2**32), Whole] = Field(
        4_000,
        description="Bytes that count as a second of audio that cannot be measured, and by which the "
        "hold of any upload is estimated.",
    )
    video_bytes_per_second: Annotated[int, Field(ge=1, le=2**32), Whole] = Field(
        125_000,
        description="Bytes that count as a second of a video segment that cannot be measured, and by which its hold is "
        "estimated.",
    )


Disconnect = Literal["caused", "measured", "estimate", "free"]
Failure = Literal["measured", "free"]


class Outcomes(Model):
    """The price of one workload's failed work; what is not named is as the plan says for all workloads."""

    on_disconnect: Disconnect | None = Field(
        None,
        description="What a client that disconnects pays: what it caused or was sent, the estimate, or nothing.",
    )
    on_upstream_error: Failure | None = Field(
        None,
        description="What a request costs that failed at the gateway or was cut off: what was delivered, or nothing.",
    )


SOLD = {Billing.PER_REQUEST: (SaleUnit.REQUESTS,), Billing.PER_MINUTE: (SaleUnit.MINUTES, SaleUnit.SECONDS)}
"""Billing models whose price list may only name these units."""


class Plan(Model):
    """A plan: the limits, prices and rules of its customers."""

    billing: Billing = Field(Billing.FREE, description="How customers of this plan pay.")
    tier: str = Field("standard", pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Routing tier of its requests.")
    limits: ScopedLimits = Field(ScopedLimits(), description="Limits by scope.")
    prices: tuple[Price, ...] = Field(
        (), validate_default=True, description="Price list; the most specific line of each unit counts."
    )
    fee: Amount = Field(0, description="Subscription only: flat price of one user for one calendar month.")
    allowances: tuple[Allowance, ...] = Field((), description="Usage included in a period.")
    currency: str | None = Field(None, description="If given, must equal the deployment's currency code.")
    holds: Holds = Field(Holds(), description="Amounts reserved while a request runs.")
    maxima: Maxima = Field(Maxima(), description="The most that one request may ask for.")
    max_tokens: MaxTokens = Field(MaxTokens(), description="Bounds of the `max_tokens` of chats.")
    byoc_timeout_seconds: int = Field(
        900, ge=1, le=86_400, description="Longest `timeout_seconds` of a BYOC job; a longer one is lowered to it."
    )
    byoc_stream_seconds: int = Field(
        14_400,
        ge=60,
        le=604_800,
        description="Longest life of a BYOC stream; one that runs longer is stopped, as it may be forgotten.",
    )
    unreadable: Unreadable = Field(Unreadable(), description="Sizes of uploads that cannot be measured.")
    live: Live = Field(Live(), description="Defaults of live streams.")
    signer: Signing = Field(Signing(), description="Payments by a remote signer.")
    on_disconnect: Disconnect = Field(
        "caused",
        description="What a client that disconnects pays. `caused`: a stream what was delivered of it, and any other "
        "work in full once the gateway has the whole request. `measured`: what was delivered. `estimate`: what was "
        "reserved. `free`: nothing.",
    )
    on_upstream_error: Failure = Field(
        "free", description="What a request costs that failed at the gateway: what was delivered, or nothing."
    )
    outcomes: dict[Workload, Outcomes] = Field(
        {}, description="`on_disconnect` and `on_upstream_error` of single workloads."
    )
    transcoding: Transcoding = Field(Transcoding(), description="How pushed segments are transcoded.")
    on_orphan: Literal["estimate", "refund", "attention"] = Field(
        "refund",
        description="How the hold of a worker that died is resolved: charged, released, or released and listed.",
    )
    fallbacks: tuple[Fallback, ...] = Field(
        (), description="What serves requests over a limit in place of a refusal; at most one for each workload."
    )
    on_store_loss: Literal["local", "refuse"] | None = Field(
        None,
        description="While Redis is unreachable: a local share of the limits, or 503. None: 503 for credits and caps.",
    )

    @cached_property
    def version(self) -> str:
        """Version of the plan: eight hex digits that change whenever anything in it does."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:8]

    @property
    def text(self) -> str:
        """The whole plan as JSON, of which its version is a digest."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True)

    def disconnect_rule(self, workload: Workload) -> Disconnect:
        """Return the rule for what a client pays that disconnects during this workload."""
        special = self.outcomes.get(workload)
        return (special and special.on_disconnect) or self.on_disconnect

    def failure_rule(self, workload: Workload) -> Failure:
        """Return the rule for what a request for this workload costs that failed at the gateway."""
        special = self.outcomes.get(workload)
        return (special and special.on_upstream_error) or self.on_upstream_error

    def fallback(self, workload: Workload) -> Fallback | None:
        """Return what serves requests for this workload in place of some refusals; None: nothing does."""
        by_workload = {each.workload: each for each in self.fallbacks}
        return by_workload.get(workload) or by_workload.get(None)

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

    @field_validator("fallbacks")
    @classmethod
    def _one_for_each(cls, fallbacks: tuple[Fallback, ...]) -> tuple[Fallback, ...]:
        check_distinct([each.workload for each in fallbacks], "is for the same workload")
        return fallbacks

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


def _simple(tier: str, minute: int, day: int, concurrent: int, *, maxima: Maxima, tokens: int) -> Plan:
    limits = Limits(
        requests_per_minute=Limit(max=minute, shadow=False),
        requests_per_day=Limit(max=day, shadow=False),
        concurrent=Limit(max=concurrent, shadow=False),
    )
    return Plan(
        tier=tier,
        limits=ScopedLimits(app=limits),
        maxima=maxima,
        max_tokens=MaxTokens(default=1_024, max=tokens),
    )


def _maxima(image_side: int, images: int, prompt_bytes: int | None = None) -> Maxima:
    return Maxima(image_side=image_side, images=images, prompt_bytes=prompt_bytes)


BUILT_IN_PLANS: dict[str, Plan] = {
    "free": _simple("standard", minute=10, day=1_000, concurrent=1, maxima=_maxima(1_024, 4, 8_192), tokens=2_048),
    "standard": _simple(
        "standard", minute=60, day=20_000, concurrent=5, maxima=_maxima(2_048, 4, 16_384), tokens=4_096
    ),
    "premium": _simple("premium", minute=300, day=200_000, concurrent=20, maxima=_maxima(4_096, 10), tokens=8_192),
    "unlimited": Plan(tier="premium"),
}
"""Plans that exist without any configuration; a plan of the same name in the file replaces one."""
