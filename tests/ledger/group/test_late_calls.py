"""Hazard: a call for a share that comes too late takes with it what it was to give back, for a whole window."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, strategies

from middlewares.ledger.admission.rules import LimitRule
from middlewares.ledger.shares.rule_share import RuleShare

PART = 12


class Window:
    """What Redis has counted of one share, by slot, and the share itself."""

    def __init__(self) -> None:
        self.share = RuleShare(LimitRule("w", ("key",), 1_000, "app", "requests"))
        self.counted: Counter[int] = Counter()
        self.admitted = 0
        self.slot = 0

    def admit(self, number: int) -> None:
        """Admit at most so many requests."""
        for _ in range(min(number, self.share.kept + self.share.unused)):
            self.share.take()
            self.admitted += 1

    def call(self, outcome: str) -> None:
        """Ask for a share; the call is granted, refused, or comes too late."""
        _, _, _, _, *given_back = self.share.ask(PART)
        if outcome == "too late":
            self.share.not_given_back()
            self.share.refused(known=False)
            return
        for slot, number in (given_back[:2], given_back[2:]):
            assert isinstance(slot, int)
            assert isinstance(number, int)
            assert number >= 0
            self.counted[slot] -= number
        assert min(self.counted.values()) >= 0, "more was given back to a slot than was counted in it"
        if outcome == "granted":
            self.slot += 1
            self.counted[self.slot] += PART
            self.share.granted(PART, 0, 0, self.slot)
        else:
            self.share.refused(known=True)


STEPS = strategies.tuples(strategies.integers(0, PART), strategies.sampled_from(["granted", "refused", "too late"]))


@given(strategies.lists(STEPS, max_size=30))
def test_nothing_is_lost_and_nothing_is_given_back_twice(steps: list[tuple[int, str]]) -> None:
    window = Window()
    for number, outcome in steps:
        window.admit(number)
        window.call(outcome)
        share = window.share
        own = share.kept + share.unused + share.late + share.owed
        assert sum(window.counted.values()) == window.admitted + own
    window.share.ask(0)
    assert window.share.owed == window.share.late == 0
