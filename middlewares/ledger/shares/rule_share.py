"""A worker's share of one window or one limit of concurrency: pure state, and what is asked of Redis for it."""

from __future__ import annotations

from dataclasses import dataclass

from middlewares.ledger.admission.rules import LimitRule
from middlewares.ledger.model import LimitState
from middlewares.store import Argument

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

    @property
    def has_unused(self) -> bool:
        """True if something of it can be given back."""
        return self.kept + self.unused + self.late + self.owed > 0

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
