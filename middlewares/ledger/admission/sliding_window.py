"""The sliding window of `lua/admit.lua` in Python: for the local fallback, and as its twin in property tests."""

from dataclasses import dataclass, field

from middlewares.ledger.admission.rules import SLOTS


@dataclass(slots=True)
class SlidingWindow:
    """At most `limit` admissions in any stretch of time as long as the window.

    The window is kept in 60 slots of `width_ms`, and an admission counts until its whole slot has left the window:
    never too many, and freed at most one slot late.
    """

    limit: int
    width_ms: int
    slots: dict[int, int] = field(default_factory=dict)

    def admit(self, now_ms: int) -> bool:
        """Count one admission at `now_ms` and return True, or return False where it does not fit."""
        if self.count(now_ms) >= self.limit:
            return False
        slot = now_ms // self.width_ms
        self.slots[slot] = self.slots.get(slot, 0) + 1
        return True

    def count(self, now_ms: int) -> int:
        """Return the number of admissions that count at `now_ms`."""
        oldest = now_ms // self.width_ms - SLOTS
        for slot in [slot for slot in self.slots if slot < oldest]:
            del self.slots[slot]
        return sum(self.slots.values())

    def reset_ms(self, now_ms: int) -> int:
        """Return the milliseconds until the oldest admission leaves; 0 when none counts."""
        self.count(now_ms)
        return (min(self.slots) + SLOTS + 1) * self.width_ms - now_ms if self.slots else 0
