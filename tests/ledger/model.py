"""What the ledger must do, in plain integers and as plainly as possible: no scripts, no strings, no shortcuts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from config.limits import Cap, Limit
from config.plans import Plan
from config.prices import Allowance, Price
from config.workloads import SaleUnit, Unit

Units = Mapping[Unit, int]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME_UNITS = {SaleUnit.SECONDS: 1_000, SaleUnit.MINUTES: 60_000}


def count(unit: SaleUnit, units: Units) -> int:
    """How much of a sale unit, times in milliseconds."""
    if unit in TIME_UNITS:
        return units.get(Unit.MILLISECONDS, 0)
    if unit is SaleUnit.TOKENS:
        return units.get(Unit.INPUT_TOKENS, 0) + units.get(Unit.OUTPUT_TOKENS, 0)
    return units.get(Unit(unit.value), 0)


def line(price: Price, quantity: int) -> int:
    """The price of so much, rounded up; of a negative quantity the same below zero."""
    per = price.per * TIME_UNITS.get(price.unit, 1)
    whole, rest = divmod(abs(quantity) * price.amount, per)
    return (1 if quantity > 0 else -1) * (whole + (rest > 0))


def period(per: str, time_ms: int) -> str:
    return (EPOCH + timedelta(milliseconds=time_ms)).strftime("%Y%m%d" if per == "day" else "%Y%m")


def end_of(per: str, time_ms: int) -> int:
    day = time_ms - time_ms % 86_400_000
    while period(per, day) == period(per, time_ms):
        day += 86_400_000
    return day


@dataclass(frozen=True)
class Rule:
    """One limit of one scope."""

    name: str
    kind: str
    subject: str
    shadow: bool
    limit: int
    cap: Cap | None = None
    window: int = 0
    factor: int = 1

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.subject


@dataclass
class Wallet:
    granted: int = 0
    spent: int = 0
    held: int = 0


@dataclass
class Holding:
    """An open hold."""

    user: str | None
    key: str | None
    bound: Units
    reserved: dict[tuple[str, str], int]
    estimate: int
    fixed: int
    leases: list[tuple[str, str]]
    expires: int
    wallet: str | None = None
    started: int = 0


@dataclass(frozen=True)
class Verdict:
    """What an admission must say: the policy that refuses, or the limit_state of each."""

    refused_by: str | None
    limit_states: tuple[tuple[str, int, int], ...]
    """Policy, remaining, milliseconds until it resets."""
    shadow: tuple[str, ...] = ()


@dataclass
class Model:
    """One app under one plan."""

    plan: Plan
    hold_ms: int
    now: int
    windows: defaultdict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    leases: defaultdict[tuple[str, str], dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    used: defaultdict[tuple[str, str, str], int] = field(default_factory=lambda: defaultdict(int))
    held: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    included: defaultdict[tuple[SaleUnit, str, str], int] = field(default_factory=lambda: defaultdict(int))
    wallets: dict[str | None, Wallet] = field(default_factory=dict)
    references: dict[str, tuple[str | None, int]] = field(default_factory=dict)
    holds: dict[str, Holding] = field(default_factory=dict)
    reaped: dict[str, tuple[Units, int, Holding]] = field(default_factory=dict)
    reaped_past: dict[tuple[str, Allowance], int] = field(default_factory=dict)
    """How many units of a reaped request were past an allowance."""
    reaped_at: dict[str, int] = field(default_factory=dict)
    events: list[tuple[str, str, int, dict[Unit, int], str | None]] = field(default_factory=list)
    """Id, type, amount, units, whose wallet."""
    usage: defaultdict[tuple[str, str, str, str], int] = field(default_factory=lambda: defaultdict(int))
    """By day, user, key and what."""

    # Admission

    def rules(self, user: str | None, key: str | None) -> Iterator[Rule]:
        limits = self.plan.limits
        scopes = [("user", f"{user}", limits.user), ("app", "", limits.app), ("global", "", limits.everyone)]
        if key:
            scopes.insert(0, ("key", key, limits.key))
        for scope, subject, scoped in scopes:
            for label, ms, limit in (
                ("minute", 60_000, scoped.requests_per_minute),
                ("day", 86_400_000, scoped.requests_per_day),
            ):
                if limit:
                    name = f"{scope}-requests-per-{label}"
                    yield Rule(name, "window", subject, limit.shadow, limit.max, window=ms)
            concurrent: Limit | None = scoped.concurrent
            if concurrent:
                yield Rule(f"{scope}-concurrent", "lease", subject, concurrent.shadow, concurrent.max)
            for cap in scoped.caps:
                yield self._cap(f"{scope}-{cap.unit.replace('_', '-')}-per-{cap.per}", subject, cap)
        for each in self.plan.allowances:
            if each.overage == "refuse":
                cap = Cap(unit=each.unit, per=each.per, max=each.included, shadow=False)
                yield self._cap(f"user-{each.unit.replace('_', '-')}-per-{each.per}", f"{user} included", cap)
        if self.plan.billing == "credits":
            yield Rule("balance", "balance", "", False, 0)

    @staticmethod
    def _cap(name: str, subject: str, cap: Cap) -> Rule:
        factor = TIME_UNITS.get(cap.unit, 1)
        return Rule(name, "cap", subject, cap.shadow, cap.max * factor, cap, factor=factor)

    def purse(self, user: str | None) -> str | None:
        """Who pays: a user who has ever been given credits, else the app."""
        return user if user in self.wallets else None

    def free(self, rule: Rule, user: str | None) -> int:
        """How much of a limit is left."""
        if rule.kind == "window":
            slot = rule.window // 60
            return rule.limit - sum(now // slot >= self.now // slot - 60 for now in self.windows[rule.key])
        if rule.kind == "lease":
            return rule.limit - sum(expiry > self.now for expiry in self.leases[rule.key].values())
        if rule.kind == "balance":
            wallet = self.wallets.get(self.purse(user), Wallet())
            return wallet.granted - wallet.spent - wallet.held
        assert rule.cap
        return rule.limit - self.used[*rule.key, period(rule.cap.per, self.now)] - self.held[rule.key]

    def reset(self, rule: Rule) -> int:
        if rule.kind == "window":
            slot = rule.window // 60
            counted = [now // slot for now in self.windows[rule.key] if now // slot >= self.now // slot - 60]
            return (min(counted) + 61) * slot - self.now if counted else 0
        return end_of(rule.cap.per, self.now) - self.now if rule.cap else 0

    def estimate(self, bound: Units, prices: list[Price]) -> int:
        amount = sum(line(price, count(price.unit, bound)) for price in prices)
        if not all(_bounded(price.unit, bound) for price in prices):
            amount = max(amount, self.plan.holds.default)
        return amount if self.plan.holds.ceiling is None else min(amount, self.plan.holds.ceiling)

    def enter(self, identity: str, user: str | None, key: str | None) -> Verdict:
        """Ask before the body is read: rates and concurrency as ever, of all else whether anything is left."""
        rules = [each for each in self.rules(user, key) if each.kind in ("window", "lease") or not each.shadow]
        return self._admit(identity, user, key, {}, rules, 0)

    def admit(
        self, identity: str, user: str | None, key: str | None, bound: Units, *, entered: bool = False
    ) -> Verdict:
        """Ask about everything, or about what `enter` has left."""
        bound = {Unit.REQUESTS: 1, **bound}
        rules = [each for each in self.rules(user, key) if not (entered and each.kind in ("window", "lease"))]
        return self._admit(identity, user, key, bound, rules, self.estimate(bound, list(self.plan.prices)))

    def _admit(
        self, identity: str, user: str | None, key: str | None, bound: Units, rules: list[Rule], amount: int
    ) -> Verdict:
        shadow = []
        needs = {}
        for rule in rules:
            need = 0
            if rule.kind == "balance":
                need = amount
            elif rule.cap:
                need = amount if rule.cap.unit is SaleUnit.AMOUNT else count(rule.cap.unit, bound)
            needs[rule.key] = need
            free = self.free(rule, user)
            if free > 0 and free >= need:
                continue
            if not rule.shadow:
                return Verdict(rule.name, ((rule.name, max(0, free) // rule.factor, self.reset(rule)),))
            shadow.append(rule.name)
        holding = Holding(user, key, bound, {}, amount, self._fixed_estimate(bound), [], self.now + self.hold_ms)
        holding.started = self.now
        limit_states = []
        for rule in rules:
            free = self.free(rule, user)
            if rule.kind == "window":
                self.windows[rule.key].append(self.now)
                free -= 1
            elif rule.kind == "lease":
                self.leases[rule.key][identity] = holding.expires
                holding.leases.append(rule.key)
                free -= 1
            elif rule.kind == "balance":
                holding.wallet = self.purse(user)
                self.wallets.setdefault(holding.wallet, Wallet()).held += amount
                free -= amount
            else:
                holding.reserved[rule.key] = needs[rule.key]
                self.held[rule.key] += needs[rule.key]
                free -= needs[rule.key]
            limit_states.append((rule.name, max(0, free) // rule.factor, self.reset(rule)))
        self.holds[identity] = holding
        return Verdict(None, tuple(limit_states), tuple(shadow))

    # The end of a request

    def settle(self, identity: str, units: Units, user: str | None, key: str | None) -> None:
        """The gateway was sent the request: by its hold, or past a reaper, or without any hold."""
        fixed = self._fixed(units)
        if identity in self.holds:
            holding = self._give_back(identity)
            self._count(identity, "usage", units, fixed, user, key, holding.wallet)
        elif identity in self.reaped:
            before, counted, _ = self.reaped[identity]
            difference = {unit: units.get(unit, 0) - before.get(unit, 0) for unit in {**units, **before}}
            if any(difference.values()) or fixed != counted:
                self._correct(identity, difference, fixed - counted)
        else:
            self._count(identity, "usage", units, fixed, user, key, self.purse(user))

    def release(self, identity: str) -> None:
        """The gateway never saw the request."""
        if identity in self.holds:
            self._give_back(identity)
        elif identity in self.reaped:
            units, counted, _ = self.reaped[identity]
            if any(units.values()) or counted:
                self._correct(identity, {unit: -number for unit, number in units.items()}, -counted)

    def renew(self, identity: str) -> None:
        if identity in self.holds:
            holding = self.holds[identity]
            holding.expires = self.now + self.hold_ms
            for key in holding.leases:
                self.leases[key][identity] = holding.expires

    def reap(self) -> None:
        expired = [identity for identity, holding in self.holds.items() if holding.expires <= self.now]
        for identity in sorted(expired, key=lambda each: (self.holds[each].expires, each)):
            holding = self._give_back(identity)
            charged = self.plan.on_orphan == "estimate" and holding.bound
            units = holding.bound if charged else {}
            amount = holding.fixed if charged else 0
            self.reaped[identity] = units, amount, holding
            self.reaped_at[identity] = self.now
            if holding.bound:  # else it has a slot alone, and its request another hold, or none yet
                self._count(identity, "usage", units, amount, holding.user, holding.key, holding.wallet)

    def _correct(self, identity: str, units: Units, amount: int) -> None:
        """What the reaper has counted, on the day on which it did."""
        _, _, holding = self.reaped.pop(identity)
        now, self.now = self.now, self.reaped_at.pop(identity)
        self._count(f"{identity}-adjustment", "adjustment", units, amount, holding.user, holding.key, holding.wallet)
        self.now = now

    def _give_back(self, identity: str) -> Holding:
        holding = self.holds.pop(identity)
        for key, number in holding.reserved.items():
            self.held[key] -= number
        if self.plan.billing == "credits":
            self.wallets[holding.wallet].held -= holding.estimate
        for key in holding.leases:
            self.leases[key].pop(identity, None)
        return holding

    def _count(
        self,
        identity: str,
        kind: str,
        units: Units,
        amount: int,
        user: str | None,
        key: str | None,
        wallet: str | None,
    ) -> None:
        for each in sorted(self.plan.allowances, key=lambda each: each.unit is SaleUnit.AMOUNT):
            amount = self._past_included(each, units, amount, user, identity)
        for rule in self.rules(user, key):
            if rule.cap:
                used = amount if rule.cap.unit is SaleUnit.AMOUNT else count(rule.cap.unit, units)
                self.used[*rule.key, period(rule.cap.per, self.now)] += used
        if self.plan.billing == "credits":
            self.wallets.setdefault(wallet, Wallet()).spent += amount
        paid_by = None if self.plan.billing != "credits" else "user" if wallet else "app"
        self.events.append((identity, kind, amount, dict(units), paid_by))
        head = period("day", self.now), user or "", key or ""
        self.usage[*head, "requests"] += kind == "usage"
        self.usage[*head, "amount"] += amount
        for unit, number in units.items():
            if unit is not Unit.REQUESTS:
                self.usage[*head, unit] += number

    def _past_included(self, allowance: Allowance, units: Units, amount: int, user: str | None, identity: str) -> int:
        included = allowance.included * TIME_UNITS.get(allowance.unit, 1)
        place = allowance.unit, f"{user}", period(allowance.per, self.now)
        before = self.included[place]
        money = allowance.unit is SaleUnit.AMOUNT
        after = self.included[place] = before + (amount if money else count(allowance.unit, units))
        past = max(0, after - included) - max(0, before - included)
        if money:
            return past
        paid = self.reaped_past.pop((identity.removesuffix("-adjustment"), allowance), 0)
        if identity in self.reaped:
            self.reaped_past[identity, allowance] = past
        prices = [price for price in self.plan.prices if price.unit is allowance.unit]
        return amount + sum(line(price, paid + past) - line(price, paid) for price in prices)

    def _without_allowance(self) -> list[Price]:
        allowed = {each.unit for each in self.plan.allowances}
        return [price for price in self.plan.prices if price.unit not in allowed]

    def _fixed(self, units: Units) -> int:
        return sum(line(price, count(price.unit, units)) for price in self._without_allowance())

    def _fixed_estimate(self, bound: Units) -> int:
        return self.estimate(bound, self._without_allowance())

    # Credits

    def grant(self, user: str | None, amount: int, reference: str) -> None:
        """Put in, or take out where that leaves enough. A reference counts once."""
        if reference in self.references:
            return
        wallet = self.wallets.get(user, Wallet())
        if amount < 0 and wallet.granted + amount - wallet.spent - wallet.held < 0:
            return
        wallet.granted += amount
        self.wallets[user] = wallet
        self.references[reference] = user, amount
        self.events.append((f"credit-{reference}", "credit", amount, {}, "user" if user else "app"))


def _bounded(unit: SaleUnit, bound: Units) -> bool:
    if unit is SaleUnit.TOKENS:
        return {Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS} <= bound.keys()
    return (Unit.MILLISECONDS if unit in TIME_UNITS else Unit(unit.value)) in bound
