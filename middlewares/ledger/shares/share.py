"""A worker's share of the limits of one policy: pure state, and what is asked of Redis for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.admission.rules import LimitRule
from middlewares.ledger.model import Hold, HoldEntry, LimitState
from middlewares.ledger.scripts import SHARE
from middlewares.ledger.settlement.event import ENCODER
from middlewares.store import Argument, Call

SMALLEST = 100
"""Limits below that are not shared: the fourth part of what is left would be gone at once."""
SPARE_PLACES = 8
"""Places of a share of concurrency beside twice as many as were in use at a time."""


@dataclass(slots=True)
class RuleShare:
    """A share of one limit."""

    rule: LimitRule
    unused: int = 0
    """Requests that may still be admitted from it."""
    slot: int = 0
    """Slot of the window in which they are counted; 0: it is none."""
    kept: int = 0
    """Requests that may still be admitted from the share before it."""
    kept_slot: int = 0
    late: int = 0
    """What was kept of a window and may not be used any more, as its slot would leave too early."""
    owed: int = 0
    """What was not given back to `owed_slot` of a window, as the call came too late."""
    owed_slot: int = 0
    in_use: int = 0
    """Requests that have a place of the concurrency now."""
    places: int = 0
    """Places of the concurrency that it has, in use or not."""
    peak: int = 0
    """The most of them that were in use at a time since the last call."""
    most: int = 0
    """Places that Redis may have noted for it."""
    noted: int = 0
    """Places that hold as long as a request, not only as long as the share."""
    left: int = 0
    """How much of the limit was left to others when it was taken."""
    reset_ms: int = 0
    _given_back: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Twice a slot of a window and how much of it the last call gives back."""

    @property
    def counts_places(self) -> bool:
        """True if it is one of concurrency."""
        return self.rule.kind == "c"

    def take(self) -> None:
        """Admit one request, for which there is enough."""
        if self.kept:
            self.kept -= 1
        else:
            self.unused -= 1
        if self.counts_places:
            self.in_use += 1
            self.peak = max(self.peak, self.in_use)

    def limit_state(self) -> LimitState:
        """Return how the limit stands: what this share has, and what was left to others when it was taken."""
        return LimitState(self.rule.limit_spec, self.left + self.kept + self.unused, -(-self.reset_ms // 1000))

    def ask(self, wanted: int) -> tuple[Argument, ...]:
        """Return the arguments that give back what is unused, but for what is needed until the reply to `wanted`."""
        given_back: tuple[int, int, int, int]
        if self.counts_places:
            target = 2 * self.peak + SPARE_PLACES if wanted else self.in_use
            keep = max(0, min(self.kept + self.unused, target - self.in_use))
            self.kept, self.unused, self.places = keep, 0, self.in_use + keep
            self.noted = self.places
            given_back = self.places, max(self.most, self.places), 0, 0
            wanted, self.peak = max(0, target - self.places), self.in_use
            self.most = max(self.most, self.places + wanted)
        else:
            keep = min(self.unused, wanted // 2)
            last = (self.owed_slot, self.owed) if self.owed else (self.slot, self.unused - keep)
            given_back = self._given_back = self.kept_slot, self.kept + self.late, *last
            self.kept, self.kept_slot, self.unused, self.late, self.owed = keep, self.slot, 0, 0, 0
        return (self.rule.kind, self.rule.limit, self.rule.parameter, wanted, *given_back)

    def granted(self, part: int, left: int, reset_ms: int, slot: int) -> None:
        """Take in what was given."""
        self.unused, self.left, self.reset_ms, self.slot = part, left, reset_ms, slot
        if self.counts_places:
            self.places += part
            self.most = self.places
            self.unused = self.places - self.in_use - self.kept  # some requests have ended since

    def refused(self, *, known: bool) -> None:
        """Take in that nothing was given, or that this is not known.

        What was kept may be used still, and is given back next time.
        """
        if self.counts_places:
            if known:
                self.most = self.places
            else:
                self.noted = 0
            self.unused = self.places - self.in_use - self.kept

    def not_given_back(self) -> None:
        """Take in that the last call has done nothing: what it gave back is given back next time."""
        if not self.counts_places:
            for slot, number in (self._given_back[:2], self._given_back[2:]):
                if slot == self.slot:
                    self.late += number
                else:
                    self.owed, self.owed_slot = self.owed + number, slot


@dataclass(slots=True)
class Share:
    """The shares of all limits of a policy, from which requests are admitted together or not at all."""

    share_id: str
    policy: Policy
    hold: Hold
    """The hold of its places."""
    rules: list[RuleShare] = field(default_factory=list)
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
        self.rules = [RuleShare(rule) for rule in self.policy.rules]

    @property
    def in_use(self) -> int:
        """Return how many requests have places of it."""
        return max((each.in_use for each in self.rules), default=0)

    @property
    def has_unused(self) -> bool:
        """Return True if something of it can be given back."""
        return any(each.kept + each.unused + each.late + each.owed for each in self.rules)

    @property
    def has_fleeting(self) -> bool:
        """Return True if a request has a place that holds only as long as the share."""
        return any(each.in_use > each.noted for each in self.rules if each.counts_places)

    def take(self, now: float) -> tuple[LimitState, ...] | None:
        """Admit one request and return how the limits stand; None where it has too little."""
        if now >= self.expires:
            return None
        if now >= self.kept_until:
            self._drop_kept()
        for each in self.rules:
            if each.kept + each.unused < 1:
                return None
        states = []
        for each in self.rules:
            each.take()
            states.append(each.limit_state())
        return tuple(states)

    def _drop_kept(self) -> None:
        for each in self.rules:
            if not each.counts_places:
                each.kept, each.late = 0, each.late + each.kept

    def give_back(self) -> None:
        """End one request that was admitted from it: its places are free again."""
        for each in self.rules:
            if each.counts_places:
                each.in_use -= 1
                if not self.asking:
                    each.unused += 1

    def call(self, life_ms: int, in_use_ms: int, latest_ms: int, wanted: int) -> Call:
        """Return the call that gives back what is unused and takes a share for `wanted` requests; 0: none.

        `life_ms` is for how long it holds, `in_use_ms` for how long the places that are in use do.
        """
        self.kept_until = self.expires
        asked = [argument for each in self.rules for argument in each.ask(wanted)]
        keeps = any(each.kept for each in self.rules)
        body = ENCODER.encode(self.hold) if self.hold.entries else b""
        arguments = (self.share_id, life_ms, latest_ms, int(wanted > 0), in_use_ms, int(keeps), body, *asked)
        return Call(SHARE, [key for each in self.rules for key in each.rule.keys], arguments, self.policy.hold_keys)

    def granted(self, reply: Sequence[Any]) -> None:
        """Take in what the script has given."""
        for number, each in enumerate(self.rules):
            each.granted(*reply[2 + 4 * number : 6 + 4 * number])

    def refused(self, *, known: bool = True) -> None:
        """Take in that the script has given nothing, or that nobody knows what it has."""
        for each in self.rules:
            each.refused(known=known)

    def too_late(self) -> None:
        """Take in that the script came too late, and has done nothing."""
        for each in self.rules:
            each.not_given_back()
            each.refused(known=False)


def hold_of(share_id: str, policy: Policy, request: Hold) -> Hold:
    """Return the hold of the places that a share has, made at the first request that wants one."""
    return Hold(
        request_id=share_id,
        app=policy.app,
        user=policy.user,
        key=policy.key,
        plan=policy.plan_id,
        workload=request.workload,
        model="",
        started_ms=request.started_ms,
        entries=tuple(HoldEntry("c", rule.keys) for rule in policy.rules if rule.kind == "c"),
        shared=True,
        entry=True,
    )


def shareable(policy: Policy) -> bool:
    """Return True if requests may be admitted under it from a share: it has no limit that is small, or of money."""
    return not policy.raised_until and all(
        rule.kind in "wc" and not rule.shadow and rule.limit >= SMALLEST for rule in policy.rules
    )
