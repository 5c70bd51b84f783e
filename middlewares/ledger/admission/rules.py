"""The limits of a plan as rules of the admission script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from config.fallbacks import Fallback
from config.limits import Cap, Limit, Limits, ScopedLimits
from config.plans import Billing, Plan
from config.workloads import COUNTED, SaleUnit, Unit
from middlewares.ledger.admission.key_limits import NO_LIMITS, KeyTerms
from middlewares.ledger.admission.pricing import counted
from middlewares.ledger.model import LimitSpec, LimitState
from middlewares.ledger.redis_keys import RedisKeys

MINUTE = 60
DAY = 86_400
SLOTS = 60
"""A sliding window is kept in this many slots (`lua/admit.lua`)."""

Scopes = tuple[tuple[str, str, Limits], ...]


@dataclass(frozen=True, slots=True)
class LimitRule:
    """One limit of a principal, with everything about it that is the same for each request."""

    kind: str
    """As in `lua/admit.lua`: w window, c concurrency, d m t unit cap, b balance."""
    keys: tuple[str, ...]
    limit: int
    """In counted units."""
    policy: str
    unit: str
    parameter: int = 0
    """Width of a slot of a window in milliseconds; else 0."""
    factor: int = 1
    """Counted units in one of what the operator declared."""
    sale_unit: SaleUnit | None = None
    window_seconds: int | None = None
    shadow: bool = False
    own: bool = False
    """True: it is the key's own, not the plan's."""
    raised: int = 0
    """The limit before `raised_until`."""
    raised_until: int = 0
    """Redis time in Unix milliseconds; 0: the limit is the same at any time."""

    @property
    def code(self) -> str:
        """Return the stable code of a refusal by this rule."""
        return {"w": "rate_limited", "c": "concurrency_limited", "b": "insufficient_balance"}.get(
            self.kind, "key_limit" if self.own else "plan_limit"
        )

    @property
    def manner(self) -> str | int:
        """Return how the limit binds, as `lua/admit.lua` takes it."""
        return f"{self.raised} {self.raised_until}" if self.raised_until else int(self.shadow)

    def at(self, now: int) -> LimitRule:
        """Return the rule with the limit that holds at that Redis time, Unix milliseconds."""
        return replace(self, limit=self.raised) if now < self.raised_until else self

    def estimate(self, units: Mapping[Unit, int], amount: int) -> int:
        """Return what a request reserves of this limit, in counted units or atomic units."""
        if self.sale_unit is None:
            return 0
        return amount if self.sale_unit is SaleUnit.AMOUNT else counted(self.sale_unit, units)

    @property
    def limit_spec(self) -> LimitSpec:
        """Return the limit in the units the operator declared."""
        return LimitSpec(self.policy, self.unit, self.limit // self.factor, self.window_seconds, self.shadow)

    def limit_state(self, remaining: int, reset_ms: int) -> LimitState:
        """Return how the limit stands, in the units the operator declared."""
        return LimitState(self.limit_spec, remaining // self.factor, -(-reset_ms // 1000))


def rules_of(
    keys: RedisKeys,
    *,
    app: str,
    user: str | None,
    key: str | None,
    name: str,
    plan: Plan,
    terms: KeyTerms | None = None,
) -> Iterator[LimitRule]:
    """Yield the rules of a principal under the plan of that name, in the order in which they are checked.

    `terms` are those of its key, if that has any.
    """
    if terms is not None:
        yield from _own_rules(keys, app, terms)
    family = terms.family if terms else key
    yield from _scoped_rules(keys, app=app, user=user, family=family, name=name, limits=plan.limits)
    for allowance in plan.allowances:
        if allowance.overage == "refuse":
            cap = Cap(unit=allowance.unit, per=allowance.per, max=allowance.included, shadow=False)
            yield _cap_rule(keys, app, "user", f"{app}:{user or ''}", cap, name="included")
    if plan.billing is Billing.CREDITS:
        wallets = keys.wallet(app), keys.wallet(app, user)
        yield LimitRule(
            kind="b", keys=wallets, limit=0, policy="balance", unit=SaleUnit.AMOUNT, sale_unit=SaleUnit.AMOUNT
        )


def fallback_rules(
    keys: RedisKeys, *, app: str, user: str | None, family: str | None, name: str, fallback: Fallback
) -> Iterator[LimitRule]:
    """Yield the rules of what falls back, whose state is apart from that of the plan's; `family` is the key's."""
    prefix = fallback_prefix(fallback)
    yield from _scoped_rules(keys, app=app, user=user, family=family, name=name, limits=fallback.limits, prefix=prefix)


def fallback_prefix(fallback: Fallback) -> str:
    """Return what the policies of a fallback's rules begin with, before their scope."""
    return f"fallback-{fallback.workload}-" if fallback.workload else "fallback-"


def _scoped_rules(
    keys: RedisKeys,
    *,
    app: str,
    user: str | None,
    family: str | None,
    name: str,
    limits: ScopedLimits,
    prefix: str = "",
) -> Iterator[LimitRule]:
    """Yield the rules of limits by scope; `family` is the id by which a key is counted, None: there is no key."""
    scopes: Scopes = (
        ("key", family or "", limits.key if family else Limits()),
        ("user", f"{app}:{user or ''}", limits.user),
        ("app", app, limits.app),
        ("global", name, limits.everyone),
    )
    for scope, subject, scoped in scopes:
        yield from _scope_rules(keys, app, scope, subject, scoped, prefix=prefix)


def _scope_rules(
    keys: RedisKeys, app: str, scope: str, subject: str, limits: Limits, *, prefix: str = ""
) -> Iterator[LimitRule]:
    share = len(keys.tags) if scope == "global" and keys.cluster else 1
    windows = (("minute", MINUTE, limits.requests_per_minute), ("day", DAY, limits.requests_per_day))
    for label, seconds, limit in windows:
        if limit is not None:
            rule_keys = (keys.rule(app, "window", scope, subject, prefix + label),)
            policy = f"{prefix}{scope}-requests-per-{label}"
            width = seconds * 1000 // SLOTS
            yield LimitRule(
                kind="w",
                keys=rule_keys,
                limit=_share(limit, share),
                policy=policy,
                unit="requests",
                parameter=width,
                window_seconds=seconds,
                shadow=limit.shadow,
            )
    if limits.concurrent is not None:
        rule_keys = (keys.rule(app, "lease", scope, subject, f"{prefix}concurrent"),)
        yield LimitRule(
            kind="c",
            keys=rule_keys,
            limit=_share(limits.concurrent, share),
            policy=f"{prefix}{scope}-concurrent",
            unit="concurrent-requests",
            shadow=limits.concurrent.shadow,
        )
    for cap in limits.caps:
        yield _cap_rule(keys, app, scope, subject, cap, name="cap", share=share, prefix=prefix)


def _cap_rule(
    keys: RedisKeys, app: str, scope: str, subject: str, cap: Cap, *, name: str, share: int = 1, prefix: str = ""
) -> LimitRule:
    factor = 1 if cap.unit is SaleUnit.AMOUNT else COUNTED[cap.unit][1]
    key = keys.rule(app, name, scope, subject, f"{prefix}{cap.unit}:{cap.per}")
    policy = f"{prefix}{scope}-{cap.unit.replace('_', '-')}-per-{cap.per}"
    limit = max(1, cap.max * factor // share)
    return LimitRule(
        kind=cap.per[0],
        keys=(key,),
        limit=limit,
        policy=policy,
        unit=cap.unit,
        factor=factor,
        sale_unit=cap.unit,
        shadow=cap.shadow,
    )


def _own_rules(keys: RedisKeys, app: str, terms: KeyTerms) -> Iterator[LimitRule]:
    """Yield the rules of a key's own limits. Their state is apart from that of the plan's rules for keys."""
    limits, increase = terms.limits, terms.increase
    higher = increase.limits if increase else NO_LIMITS
    until = int(increase.until.timestamp() * 1000) if increase else 0

    def rule(kind: str, name: str, limit: int, raised: int | None, **members: Any) -> LimitRule:
        return LimitRule(
            kind=kind,
            keys=(keys.rule(app, "own", "key", terms.family, name),),
            limit=limit,
            policy=f"key-own-{name}",
            own=True,
            raised=raised or 0,
            raised_until=until if raised else 0,
            **members,
        )

    if limits.requests_per_minute is not None:
        window = {"unit": "requests", "parameter": MINUTE * 1000 // SLOTS, "window_seconds": MINUTE}
        yield rule("w", "requests-per-minute", limits.requests_per_minute, higher.requests_per_minute, **window)
    if limits.concurrent is not None:
        yield rule("c", "concurrent", limits.concurrent, higher.concurrent, unit="concurrent-requests")
    money = {"unit": SaleUnit.AMOUNT, "sale_unit": SaleUnit.AMOUNT}
    for kind, name, most, more in (
        ("d", "spend-per-day", limits.spend_per_day, higher.spend_per_day),
        ("m", "spend-per-month", limits.spend_per_month, higher.spend_per_month),
        ("t", "spend-total", limits.spend_total, higher.spend_total),
    ):
        if most is not None:
            yield rule(kind, name, int(most), int(more) if more else None, **money)


def _share(limit: Limit, share: int) -> int:
    return max(1, limit.max // share)
