"""A worker's share of the limits of one policy: pure state, and what is asked of Redis for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.model import Hold, HoldEntry, LimitState
from middlewares.ledger.scripts import SHARE
from middlewares.ledger.settlement.event import ENCODER
from middlewares.ledger.shares.amount_share import AmountShare
from middlewares.ledger.shares.rule_share import SMALLEST, RuleShare
from middlewares.store import Call

AMOUNTS = "dmtb"
"""Kinds of the limits of which amounts are shared, as in `LimitRule.kind`."""


@dataclass(slots=True)
class Share:
    """The shares of all limits of a policy, from which requests are admitted together or not at all."""

    share_id: str
    policy: Policy
    hold: Hold
    """The hold of its places and amounts; while it has none, it says that there is a share."""
    rules: list[RuleShare | AmountShare] = field(default_factory=list)
    counts: list[RuleShare] = field(default_factory=list)
    """Those of them that count requests."""
    amounts: list[AmountShare] = field(default_factory=list)
    """Those of them that have amounts."""
    expires: float = 0.0
    """`time.monotonic` at which Redis may take it back; 0: there is nothing that could be given back."""
    wanted: int = 0
    """Requests that came since it was taken, admitted from it or not."""
    kept_until: float = 0.0
    """`time.monotonic` at which the share ends of which something was kept."""
    asking: bool = False
    """True while a call is on its way."""
    idle: int = 0
    """Periods in a row in which its policy was not busy."""
    asked: float = 0.0
    """`time.monotonic` of the last call."""

    def __post_init__(self) -> None:
        for rule in self.policy.rules:
            if rule.kind in AMOUNTS:
                self.amounts.append(amounts := AmountShare(rule))
                self.rules.append(amounts)
            else:
                self.counts.append(count := RuleShare(rule))
                self.rules.append(count)

    @property
    def in_use(self) -> bool:
        """Return True if requests have places of it, or amounts."""
        return any(each.in_use for each in self.rules)

    @property
    def has_unused(self) -> bool:
        """Return True if something of it can be given back."""
        return any(each.has_unused for each in self.rules)

    @property
    def has_fleeting(self) -> bool:
        """Return True if a request has a place that holds only as long as the share."""
        return any(each.in_use > each.noted for each in self.counts if each.counts_places)

    def take(self, now: float, hold: Hold) -> tuple[LimitState, ...] | None:
        """Admit one request and return how the limits stand; None where it has too little."""
        fits = now < self.expires
        if fits and now >= self.kept_until:
            self._drop_kept()
        for count in self.counts:
            if count.kept + count.unused < 1:
                fits = False
        if self.amounts:
            for amount, need in zip(self.amounts, _amounts_of(hold), strict=True):
                fits = amount.want(need) and fits
        if not fits:
            return None
        states = []
        for each in self.rules:
            each.take()
            states.append(each.limit_state())
        return tuple(states)

    def _drop_kept(self) -> None:
        for each in self.counts:
            if not each.counts_places:
                each.kept, each.late = 0, each.late + each.kept

    def give_back(self) -> None:
        """End one request that was admitted from it: its places are free again."""
        for each in self.counts:
            if each.counts_places:
                each.in_use -= 1
                if not self.asking:
                    each.unused += 1

    def commit(self, hold: Hold) -> None:
        """Take in that the end of a request is in Redis, with what was used in place of its hold."""
        for each, held in zip(self.amounts, _amounts_of(hold), strict=True):
            each.commit(held)

    def release(self, hold: Hold) -> None:
        """Take in that a request has ended of which nothing is counted."""
        for each, held in zip(self.amounts, _amounts_of(hold), strict=True):
            each.release(held)

    def call(self, now: float, life_ms: int, in_use_ms: int, latest_ms: int, wanted: int) -> Call:
        """Return the call that gives back what is unused and takes a share for `wanted` requests; 0: none.

        `now` is `time.monotonic`, `life_ms` for how long it holds, `in_use_ms` for how long what is in use does.
        """
        if now >= self.expires:
            for amount in self.amounts:
                amount.unused = 0  # it may have been taken back
        self.kept_until = self.expires
        asked = [argument for each in self.rules for argument in each.ask(wanted)]
        keeps = any(each.kept for each in self.counts) or any(each.unused for each in self.amounts)
        body = ENCODER.encode(self.hold)
        arguments = (self.share_id, life_ms, latest_ms, int(wanted > 0), in_use_ms, int(keeps), body, *asked)
        names = self.policy.keys
        keys = (
            names.shared(names.tag(self.policy.app)).events,
            *(key for each in self.rules for key in each.rule.keys),
        )
        return Call(SHARE, keys, arguments, self.policy.hold_keys)

    def granted(self, reply: Sequence[Any]) -> None:
        """Take in what the script has given."""
        for number, each in enumerate(self.rules):
            each.granted(*map(int, reply[2 + 4 * number : 6 + 4 * number]))

    def refused(self, *, known: bool = True) -> None:
        """Take in that the script has given nothing, or that nobody knows what it has."""
        for each in self.rules:
            each.refused(known=known)

    def too_late(self) -> None:
        """Take in that the script came too late, and has done nothing."""
        for each in self.counts:
            each.not_given_back()
        self.refused(known=False)


def _amounts_of(hold: Hold) -> list[int]:
    """Return what a request holds of each cap and balance, in the order of its rules."""
    return [int(entry.held) for entry in hold.entries if entry.kind in AMOUNTS]


def share_id_of(incarnation: str, number: int) -> str:
    """Return the id of a worker's share."""
    return f"share-{incarnation}-{number}"


def worker_of(share_id: str) -> str:
    """Return the incarnation of the worker that has taken a share."""
    return share_id.split("-")[1]


def hold_of(share_id: str, policy: Policy, request: Hold) -> Hold:
    """Return the hold of the places and amounts that a share has, made at the first request that wants one."""
    return Hold(
        request_id=share_id,
        app=policy.app,
        user=policy.user,
        key=policy.key,
        plan=policy.plan_id,
        workload=request.workload,
        model="",
        started_ms=request.started_ms,
        entries=tuple(HoldEntry(rule.kind, rule.keys) for rule in policy.rules if rule.kind != "w"),
        shared=True,
        share=share_id,
        entry=True,
    )


def shareable(policy: Policy, now_ms: int) -> bool:
    """Return True if requests may be admitted under it from a share: no window and no concurrency of it is small.

    `now_ms` is Redis time: while a limit is raised, Redis decides.
    """
    return now_ms >= policy.raised_until and all(
        not rule.shadow and (rule.kind in AMOUNTS or rule.limit >= SMALLEST) for rule in policy.rules
    )
