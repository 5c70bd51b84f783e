"""The catalog as it is returned. Amounts are decimal strings of the currency's atomic unit, beside words for people."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field

from proxy.reporting.tables import CurrencyView


class Availability(StrEnum):
    """Whether work would find a gateway now, as the worker that responds knows the health of its gateways."""

    AVAILABLE = "available"
    """A gateway of the first pool is healthy."""
    FALLBACK = "fallback"
    """Only a gateway of a fallback pool is."""
    UNAVAILABLE = "unavailable"
    """Every gateway of its pools is ejected."""
    NOT_OFFERED = "not_offered"
    """No routing rule sends such work anywhere."""


class TierCapability(BaseModel):
    """State of the gateways for a workload, or one model of it, in one tier."""

    tier: str
    model: str | None = Field(description="None: models that have no line of their own.")
    availability: Availability
    healthy_gateways: int
    gateways: int


class RouteView(BaseModel):
    """A client route."""

    name: str
    methods: list[str]
    paths: list[str]


class WorkloadView(BaseModel):
    """One kind of work that is offered."""

    workload: str
    routes: list[RouteView]
    models: list[str] = Field(description="Models or capabilities that the operator names; empty: it names none.")
    capability: list[TierCapability]


class Money(BaseModel):
    """An amount of money."""

    amount: str = Field(description="In atomic units.")
    human: str = Field(description="In the currency, for people.")


class PriceView(BaseModel):
    """One line of a price list. The line that names workload and model counts before those that do not."""

    workload: str | None
    model: str | None
    unit: str
    amount: str = Field(description="Price of `per` units, in atomic units; rounded up once per request and line.")
    per: int
    human: str


class CapView(BaseModel):
    """The most of a unit in a calendar period (UTC)."""

    unit: str
    per: str
    max: str = Field(description="Decimal string; money is in atomic units.")


class LimitsView(BaseModel):
    """Limits of one scope; None: not limited there."""

    scope: str = Field(description="`key`, `user`, `app`, or `everyone` on the plan together.")
    requests_per_minute: int | None
    requests_per_day: int | None
    concurrent: int | None
    caps: list[CapView]


class AllowanceView(BaseModel):
    """Units that a period includes."""

    unit: str
    per: str
    included: str
    overage: str = Field(description="`charge` or `refuse`.")


class FallbackView(BaseModel):
    """What serves requests over a limit in place of a refusal."""

    workload: str | None = Field(description="None: every workload that has no fallback of its own.")
    instead_of: list[str] = Field(description="Codes of the refusals that it replaces.")
    model: str | None = Field(description="Model that does the work, at its own prices; None: the requested one.")
    limits: list[LimitsView] = Field(description="Limits of what falls back, counted apart.")


class PlanView(BaseModel):
    """One plan."""

    name: str
    billing: str
    tier: str
    fee: Money = Field(description="Flat price of a user for a calendar month.")
    limits: list[LimitsView]
    fallbacks: list[FallbackView]
    allowances: list[AllowanceView]
    prices: list[PriceView]
    default_max_tokens: int
    largest_max_tokens: int
    maxima: dict[str, int] = Field(description="The most that one request may ask for.")


class Catalog(BaseModel):
    """All that a deployment offers."""

    currency: CurrencyView
    workloads: list[WorkloadView]
    plans: list[PlanView]
    own_plan: str | None = Field(description="Plan of the caller's app; None without a credential.")
