"""From plan and principal to the rules that one admission checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

from config.fallbacks import Fallback
from config.plans import Plan
from config.prices import Allowance
from config.workloads import COUNTED, SaleUnit, Unit, Workload
from middlewares.ledger.admission.key_limits import KeyTerms
from middlewares.ledger.admission.pricing import PriceLine, estimate, prices_for
from middlewares.ledger.admission.rules import LimitRule, fallback_rules, rules_of
from middlewares.ledger.model import Denied, Hold, HoldEntry
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.store import Argument, SharedArguments


class Policy:
    """The rules of one principal under one plan. Built once per credential, used for every request."""

    def __init__(
        self,
        keys: RedisKeys,
        *,
        app: str,
        user: str | None,
        key: str | None,
        name: str,
        plan: Plan,
        terms: KeyTerms | None = None,
    ) -> None:
        """`terms` are the key's own; None: the key has nothing but its id."""
        self.keys = keys
        self.app = app
        self.user = user
        self.key = key
        self.plan = plan
        self.terms = terms
        self.plan_id = f"{name}@{plan.version}"
        self.allowed = frozenset(allowance.unit for allowance in plan.allowances)
        """Units whose price depends on an allowance, which only the settle script can apply."""
        self.on_orphan = plan.on_orphan
        self._default, self._ceiling = plan.holds.default, plan.holds.ceiling
        self._prices: dict[tuple[Workload, str], tuple[PriceLine, ...]] = {}
        self._fallbacks: dict[tuple[Workload, bool], Policy] = {}
        self._take(tuple(rules_of(keys, app=app, user=user, key=key, name=name, plan=plan, terms=terms)))
        self.prepaid_or_capped = any(rule.kind in "dmtb" and not rule.shadow for rule in self.rules)
        """True where money or caps are at stake, so that nothing is admitted on a guess."""
        self._key_capped = any(rule.own and rule.kind in "dmt" for rule in self.rules)

    def _take(self, rules: tuple[LimitRule, ...]) -> None:
        self.rules = rules
        self.limit_specs = tuple((rule.limit_spec, rule.factor if rule.sale_unit else 0) for rule in rules)
        """Each rule's limit, and the counted units in one that the operator declared; 0: it counts no units."""
        self.raised_until = max((rule.raised_until for rule in rules), default=0)
        """Redis time, Unix milliseconds, before which `raised_specs` hold in place of `limit_specs`; 0: never."""
        self.raised_specs = self.limit_specs
        if self.raised_until:
            raised = [rule.at(self.raised_until - 1) for rule in rules]
            self.raised_specs = tuple((rule.limit_spec, rule.factor if rule.sale_unit else 0) for rule in raised)
        shared = self.keys.shared(self.keys.tag(self.app))
        self.hold_keys = SharedArguments((shared.holds, shared.bodies))
        self.admit_keys = SharedArguments((*self.hold_keys, *(key for rule in rules for key in rule.keys)))
        """KEYS of `lua/admit.lua`."""
        self._counts = any(rule.sale_unit is not None for rule in rules)
        self._nothing = self._arguments([0] * len(rules))
        self._leases = self._entries([0] * len(rules))

    def without(self, kind: str) -> Policy:
        """Return this policy less the rules of that kind (as in `Rule.kind`)."""
        return self._with([rule for rule in self.rules if rule.kind != kind])

    def keeping(self, minimum: int) -> Policy:
        """Return this policy with at least `minimum` atomic units that must stay in a prepaid wallet."""
        return self._with([replace(rule, limit=minimum) if rule.kind == "b" else rule for rule in self.rules])

    def falling_back(self, fallback: Fallback, workload: Workload, model: str) -> Policy:
        """Return the policy of requests that a fallback serves: its limits are in place of the plan's.

        The key's own limits stay, and so does what counts money, if the model costs any.
        """
        costs = any(line.amount for line in self.prices(workload, model))
        found = self._fallbacks.get((workload, costs))
        if found is None:
            found = self._fallbacks[workload, costs] = self._of_fallback(fallback, costs=costs)
        return found

    def _of_fallback(self, fallback: Fallback, *, costs: bool) -> Policy:
        kept = [each for each in self.rules if each.own or each.sale_unit is SaleUnit.AMOUNT]
        rules = fallback_rules(
            self.keys,
            app=self.app,
            user=self.user,
            family=self.terms.family if self.terms else self.key,
            name=self.plan_id.rpartition("@")[0],
            fallback=fallback,
        )
        return self._with([*(each for each in kept if costs or each.sale_unit is not SaleUnit.AMOUNT), *rules])

    def _with(self, rules: Iterable[LimitRule]) -> Policy:
        """Return this policy with only these of its rules."""
        found = copy(self)
        found._fallbacks = {}
        for derived in ("beside_work", "before_body", "after_body"):
            found.__dict__.pop(derived, None)
        found._take(tuple(rules))
        return found

    def denied(self, reply: Sequence[Any], hold: Hold | None = None) -> Denied:
        """Return the refusal that a reply of `lua/admit.lua` names, for the hold that it was asked for."""
        rule = self.rules[reply[2] - 1].at(reply[1])
        limit_state = rule.limit_state(int(reply[3]), int(reply[4]))
        requested = rule.estimate(hold.units, int(hold.estimate)) if hold else 0
        return Denied(limit_state, rule.code, hold, -(-requested // rule.factor))

    @cached_property
    def beside_work(self) -> Policy:
        """The policy of requests about work that has a concurrency lease already: they take none."""
        return self.without("c")

    @cached_property
    def before_body(self) -> Policy:
        """The policy of a request whose body is not read yet: everything is asked, and only a slot is taken.

        Caps and balances have to have something left, no more: what the request needs of them is not known, and the
        most that it could need would refuse clients that have enough.
        """
        found = self._with([rule for rule in self.rules if rule.kind in "wc" or not rule.shadow])
        found.allowed = frozenset()
        found._counts = False
        found._leases = tuple(entry for entry in found._leases if entry.kind == "c")
        return found

    @cached_property
    def after_body(self) -> Policy:
        """The policy of a request that `before_body` has admitted, once its body is read: caps and balances alone."""
        return self._with([rule for rule in self.rules if rule.kind not in "wc"])

    @property
    def refuses_without_store(self) -> bool:
        """True where the plan declares it, or declares nothing and is prepaid or capped; always for a key's own cap."""
        choice = self.plan.on_store_loss
        return self._key_capped or (choice == "refuse" if choice else self.prepaid_or_capped)

    def prices(self, workload: Workload, model: str) -> tuple[PriceLine, ...]:
        """Return the price lines for a workload and model."""
        found = self._prices.get((workload, model))
        if found is None:
            found = prices_for(self.plan, workload, model)
            if len(self._prices) < 256:  # the client names the models: keep a bounded number of them
                self._prices[workload, model] = found
        return found

    def fixed(self, prices: tuple[PriceLine, ...]) -> tuple[PriceLine, ...]:
        """Return those of the price lines that no allowance can change."""
        return tuple(line for line in prices if line.unit not in self.allowed)

    def estimate(self, prices: tuple[PriceLine, ...], upper_bound: Mapping[Unit, int]) -> int:
        """Return what to reserve at these prices, in atomic units."""
        return estimate(prices, upper_bound, default=self._default, ceiling=self._ceiling)

    def reserve(
        self, units: Mapping[Unit, int], amount: int, prices: tuple[PriceLine, ...]
    ) -> tuple[SharedArguments, tuple[HoldEntry, ...]]:
        """Return for these estimates the rules as ARGV of `lua/admit.lua`, and the hold's entries for settlement."""
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
            found += (rule.kind, rule.limit, rule.parameter, held, rule.manner)
        return SharedArguments(found)

    def _entries(self, estimates: list[int]) -> tuple[HoldEntry, ...]:
        return tuple(
            HoldEntry(rule.kind, rule.keys, str(held), rule.sale_unit or "")
            for rule, held in zip(self.rules, estimates, strict=True)
            if rule.kind != "w"
        )

    def _allowance(self, allowance: Allowance, prices: tuple[PriceLine, ...]) -> HoldEntry:
        unit = allowance.unit
        key = self.keys.rule(self.app, "allowance", "user", f"{self.app}:{self.user or ''}", f"{unit}:{allowance.per}")
        factor = 1 if unit is SaleUnit.AMOUNT else COUNTED[unit][1]
        line = next((price for price in prices if price.unit is unit), None)
        price = f"{line.amount} {line.per}" if line else "" if unit is SaleUnit.AMOUNT else "0 1"
        return HoldEntry(
            kind="a", keys=(key,), held=str(allowance.included * factor), unit=unit, per=allowance.per[0], price=price
        )
