"""Plans as the catalog shows them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from config.limits import Limit, Limits, ScopedLimits
from config.plans import Plan
from config.prices import Price
from config.runtime import Currency
from config.workloads import SaleUnit
from proxy.api.catalog.models import AllowanceView, CapView, FallbackView, LimitsView, Money, PlanView, PriceView
from proxy.reporting.tables import decimal

CUSTOMARY = {
    SaleUnit.PIXELS: 1_000_000,
    SaleUnit.INPUT_TOKENS: 1_000_000,
    SaleUnit.OUTPUT_TOKENS: 1_000_000,
    SaleUnit.TOKENS: 1_000_000,
    SaleUnit.CHARACTERS: 1_000,
}
"""How many units people are used to see a price of; one of the others."""


def plan_view(name: str, plan: Plan, currency: Currency) -> PlanView:
    """Return what the catalog shows of a plan: what it grants and costs, nothing of how it is run."""
    return PlanView(
        name=name,
        billing=plan.billing,
        tier=plan.tier,
        fee=money(plan.fee, currency),
        limits=list(_limits(plan.limits)),
        fallbacks=[
            FallbackView(
                workload=each.workload,
                instead_of=list(each.instead_of),
                model=each.model,
                limits=list(_limits(each.limits)),
            )
            for each in plan.fallbacks
        ],
        allowances=[
            AllowanceView(unit=each.unit, per=each.per, included=str(each.included), overage=each.overage)
            for each in plan.allowances
        ],
        prices=[_price(each, currency) for each in plan.prices],
        default_max_tokens=plan.max_tokens.default,
        largest_max_tokens=plan.max_tokens.max,
        maxima={what: most for what, most in plan.maxima.model_dump().items() if most is not None},
    )


def money(amount: int, currency: Currency) -> Money:
    """Return an amount in both forms."""
    return Money(amount=str(amount), human=f"{decimal(amount, currency.decimals)} {currency.code}")


def price_in_words(price: Price, currency: Currency) -> str:
    """Return the price of a customary number of units where that is a whole number of atomic units, else as written."""
    amount, per = price.amount, price.per
    customary = CUSTOMARY.get(price.unit, 1)
    if amount * customary % per == 0:
        amount, per = amount * customary // per, customary
    unit = price.unit.replace("_", " ")
    quantity = unit.removesuffix("s") if per == 1 else f"{per:,} {unit}"
    return f"{decimal(amount, currency.decimals)} {currency.code} per {quantity}"


def _price(price: Price, currency: Currency) -> PriceView:
    return PriceView(
        workload=price.workload,
        model=price.model,
        unit=price.unit,
        amount=str(price.amount),
        per=price.per,
        human=price_in_words(price, currency),
    )


def _limits(scoped: ScopedLimits) -> Iterator[LimitsView]:
    """Yield the limits of each scope that has any in force; those in shadow mode refuse nothing."""
    for scope in ("key", "user", "app", "everyone"):
        limits: Limits = getattr(scoped, scope)
        view = LimitsView(
            scope=scope,
            requests_per_minute=_most(limits.requests_per_minute),
            requests_per_day=_most(limits.requests_per_day),
            concurrent=_most(limits.concurrent),
            caps=[CapView(unit=each.unit, per=each.per, max=str(each.max)) for each in limits.caps if not each.shadow],
        )
        if view.caps or {view.requests_per_minute, view.requests_per_day, view.concurrent} != {None}:
            yield view


def _most(limit: Limit | None) -> int | None:
    return None if limit is None or limit.shadow else limit.max
