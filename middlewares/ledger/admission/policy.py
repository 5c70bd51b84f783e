"""From plan and principal to the rules one admission checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from config.limits import Cap, Limit, Limits
from config.plans import Billing, Plan
from config.prices import Allowance
from config.workloads import COUNTED, SaleUnit, Unit, Workload
from middlewares.ledger.admission.pricing import PriceLine, counted, estimate, prices_for
from middlewares.ledger.model import Denied, Entry, LimitSpec, LimitState
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.store import Argument, SharedArguments

MINUTE = 60
DAY = 86_400
SLOTS = 60
"""A sliding window is kept in this many slots (`lua/admit.lua`)."""

Scopes = tuple[tuple[str, str, Limits], ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit, with everything about it that is the same for each request."""

    kind: str
    """As in `lua/admit.lua`: w window, c concurrency, d m unit cap, b balance."""
    keys: tuple[str, ...]
    limit: int
    """In counted units."""
    parameter: int
    policy: str
    unit: str
    factor: int = 1
    """Counted units in one of what the operator declared."""
    sale_unit: SaleUnit | None = None
    window_seconds: int | None = None
    shadow: bool = False

    @property
    def code(self) -> str:
        """The stable code of a refusal by this rule."""
        return {"w": "rate_limited", "c": "concurrency_limited", "b": "insufficient_balance"}.get(
            self.kind, "plan_limit"
        )

    def estimate(self, units: Mapping[Unit, int], amount: int) -> int:
        """What a request reserves of it, in counted units or atomic units."""
        if self.sale_unit is None:
            return 0
        return amount if self.sale_unit is SaleUnit.AMOUNT else counted(self.sale_unit, units)

    @property
    def limit_spec(self) -> LimitSpec:
        """What it says, in the units the operator declared."""
        return LimitSpec(self.policy, self.unit, self.limit // self.factor, self.window_seconds, self.shadow)

    def limit_state(self, remaining: int, reset_ms: int) -> LimitState:
        """How it stands, in the units the operator declared."""
        return LimitState(self.limit_spec, remaining // self.factor, -(-reset_ms // 1000))


class Policy:
    """The rules of one principal under one plan. Built once per credential, used for every request."""

    def __init__(self, keys: RedisKeys, *, app: str, user: str | None, key: str | None, name: str, plan: Plan) -> None:
        self.keys = keys
        self.app = app
        self.user = user
        self.key = key
        self.plan = plan
        self.plan_id = f"{name}@{plan.version}"
        self.allowed = frozenset(allowance.unit for allowance in plan.allowances)
        """Units whose price depends on an allowance, which only the settle script can apply."""
        self.on_orphan = plan.on_orphan
        self._default, self._ceiling = plan.holds.default, plan.holds.ceiling
        self._prices: dict[tuple[Workload, str], tuple[PriceLine, ...]] = {}
        self._take(tuple(self._rules(name)))

    def _take(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self.limit_spec = tuple((rule.limit_spec, rule.factor if rule.sale_unit else 0) for rule in rules)
        """What the rules say, and the counted units in one of what the operator declared; 0: no units are counted."""
        shared = self.keys.shared(self.keys.tag(self.app))
        self.admit_keys = SharedArguments((shared.holds, shared.bodies, *(key for rule in rules for key in rule.keys)))
        """The KEYS of `lua/admit.lua`."""
        self._counts = any(rule.sale_unit is not None for rule in rules)
        self._nothing = self._arguments([0] * len(rules))
        self._leases = self._entries([0] * len(rules))

    def without(self, kind: str) -> Policy:
        """The same but for the rules of that kind (as in `Rule.kind`)."""
        found = copy(self)
        found._take(tuple(rule for rule in self.rules if rule.kind != kind))
        return found

    def denied(self, reply: Sequence[Any]) -> Denied:
        """What the refusing reply of `lua/admit.lua` says."""
        rule = self.rules[reply[2] - 1]
        return Denied(rule.limit_state(int(reply[3]), int(reply[4])), rule.code)

    @cached_property
    def beside_work(self) -> Policy:
        """For requests about work that holds a slot of its concurrency already: they take none."""
        return self.without("c")

    @cached_property
    def prepaid_or_capped(self) -> bool:
        """True where money or caps are at stake, so that nothing is admitted on a guess."""
        return any(rule.kind in "dmb" and not rule.shadow for rule in self.rules)

    @property
    def refuses_without_store(self) -> bool:
        """The plan's own choice, else its nature."""
        choice = self.plan.on_store_loss
        return choice == "refuse" if choice else self.prepaid_or_capped

    def prices(self, workload: Workload, model: str) -> tuple[PriceLine, ...]:
        """Price lines for a workload and model."""
        found = self._prices.get((workload, model))
        if found is None:
            found = prices_for(self.plan, workload, model)
            if len(self._prices) < 256:  # models are the client's words: remember a bounded number of them
                self._prices[workload, model] = found
        return found

    def fixed(self, prices: tuple[PriceLine, ...]) -> tuple[PriceLine, ...]:
        """Those of the price lines that no allowance can change."""
        return tuple(line for line in prices if line.unit not in self.allowed)

    def estimate(self, prices: tuple[PriceLine, ...], upper_bound: Mapping[Unit, int]) -> int:
        """What to reserve at these prices, in atomic units."""
        return estimate(prices, upper_bound, default=self._default, ceiling=self._ceiling)

    def _rules(self, name: str) -> Iterator[Rule]:
        limits = self.plan.limits
        scopes: Scopes = (
            ("key", self.key or "", limits.key if self.key else Limits()),
            ("user", f"{self.app}:{self.user or ''}", limits.user),
            ("app", self.app, limits.app),
            ("global", name, limits.everyone),
        )
        for scope, subject, scoped in scopes:
            yield from self._scope(scope, subject, scoped)
        for allowance in self.plan.allowances:
            if allowance.overage == "refuse":
                cap = Cap(unit=allowance.unit, per=allowance.per, max=allowance.included, shadow=False)
                yield self._cap("user", f"{self.app}:{self.user or ''}", cap, "included")
        if self.plan.billing is Billing.CREDITS:
            wallets = self.keys.wallet(self.app), self.keys.wallet(self.app, self.user)
            yield Rule("b", wallets, 0, 0, "balance", SaleUnit.AMOUNT, sale_unit=SaleUnit.AMOUNT)

    def _scope(self, scope: str, subject: str, limits: Limits) -> Iterator[Rule]:
        share = len(self.keys.tags) if scope == "global" and self.keys.cluster else 1
        windows = (("minute", MINUTE, limits.requests_per_minute), ("day", DAY, limits.requests_per_day))
        for label, seconds, limit in windows:
            if limit is not None:
                keys = (self.keys.rule(self.app, "window", scope, subject, label),)
                policy = f"{scope}-requests-per-{label}"
                width = seconds * 1000 // SLOTS
                yield Rule(
                    "w",
                    keys,
                    _share(limit, share),
                    width,
                    policy,
                    "requests",
                    window_seconds=seconds,
                    shadow=limit.shadow,
                )
        if limits.concurrent is not None:
            keys = (self.keys.rule(self.app, "lease", scope, subject, "concurrent"),)
            unit = "concurrent-requests"
            shadow = limits.concurrent.shadow
            yield Rule("c", keys, _share(limits.concurrent, share), 0, f"{scope}-concurrent", unit, shadow=shadow)
        for cap in limits.caps:
            yield self._cap(scope, subject, cap, "cap", share)

    def _cap(self, scope: str, subject: str, cap: Cap, name: str, share: int = 1) -> Rule:
        factor = 1 if cap.unit is SaleUnit.AMOUNT else COUNTED[cap.unit][1]
        key = self.keys.rule(self.app, name, scope, subject, f"{cap.unit}:{cap.per}")
        policy = f"{scope}-{cap.unit.replace('_', '-')}-per-{cap.per}"
        limit = max(1, cap.max * factor // share)
        return Rule(cap.per[0], (key,), limit, 0, policy, cap.unit, factor, cap.unit, None, cap.shadow)

    def reserve(
        self, units: Mapping[Unit, int], amount: int, prices: tuple[PriceLine, ...]
    ) -> tuple[SharedArguments, tuple[Entry, ...]]:
        """For these estimates: the rules as ARGV of `lua/admit.lua`, and what settlement must give back and count."""
        if not self._counts:
            arguments, entries = self._nothing, self._leases
        else:
            estimates = [rule.estimate(units, amount) for rule in self.rules]
            arguments, entries = self._arguments(estimates), self._entries(estimates)
        if self.allowed:
            entries = (*(self._allowance(each, prices) for each in self.plan.allowances), *entries)
        return arguments, entries

    def _arguments(self, estimates: list[int]) -> SharedArguments:
        found: list[Argument] = []
        for rule, held in zip(self.rules, estimates, strict=True):
            found += (rule.kind, rule.limit, rule.parameter, held, int(rule.shadow))
        return SharedArguments(found)

    def _entries(self, estimates: list[int]) -> tuple[Entry, ...]:
        return tuple(
            Entry(rule.kind, rule.keys, str(held), rule.sale_unit or "")
            for rule, held in zip(self.rules, estimates, strict=True)
            if rule.kind != "w"
        )

    def _allowance(self, allowance: Allowance, prices: tuple[PriceLine, ...]) -> Entry:
        unit = allowance.unit
        key = self.keys.rule(self.app, "allowance", "user", f"{self.app}:{self.user or ''}", f"{unit}:{allowance.per}")
        factor = 1 if unit is SaleUnit.AMOUNT else COUNTED[unit][1]
        line = next((price for price in prices if price.unit is unit), None)
        price = f"{line.amount} {line.per}" if line else "" if unit is SaleUnit.AMOUNT else "0 1"
        return Entry("a", (key,), str(allowance.included * factor), unit, allowance.per[0], price)


def _share(limit: Limit, share: int) -> int:
    return max(1, limit.max // share)
