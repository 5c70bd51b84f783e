"""A worker's share of one cap or one prepaid balance: pure state, and what is asked of Redis for it."""

from __future__ import annotations

from dataclasses import dataclass

from middlewares.ledger.admission.rules import LimitRule
from middlewares.ledger.model import LimitState
from middlewares.store import Argument


@dataclass(slots=True)
class AmountShare:
    """A share of units or money, which stays reserved in Redis until what was used is counted in its place.

    Both sides count from its beginning: reserved is what was admitted and is unused, less what was committed. So each
    call says how things stand, whatever became of the calls before it, and in whatever order commits reach Redis.
    """

    rule: LimitRule
    unused: int = 0
    """What may still be admitted from it."""
    admitted: int = 0
    """Sum of the holds that were admitted from it, without those that were released."""
    committed: int = 0
    """Sum of those of them whose end is in Redis."""
    noted: int = 0
    """Most that Redis may have as admitted or unused."""
    recorded: bool = False
    """True if Redis may have a record of it."""
    mean: int = 0
    """Mean of the holds that were wanted before the last call, rounded up."""
    largest: int = 0
    """Largest of them."""
    left: int = 0
    """How much of the limit was left to others when it was taken."""
    reset_ms: int = 0
    _number: int = 0
    """Number of the last call."""
    _sent: tuple[int, int] = (0, 0)
    """What was admitted or unused by the last call, and what was committed."""
    _need: int = 0
    """The hold that was wanted last."""
    _holds: int = 0
    """Holds that were wanted since the last call."""
    _sum: int = 0
    _most: int = 0

    @property
    def in_use(self) -> bool:
        """True if requests were admitted from it whose end is not in Redis."""
        return self.admitted > self.committed

    @property
    def has_unused(self) -> bool:
        """True if something of it can be given back, or its record."""
        return self.noted > self.admitted or (self.recorded and not self.in_use)

    def want(self, need: int) -> bool:
        """Return True if it has enough for a request that needs so much; each that comes is to be told, once."""
        self._need = need
        self._holds += 1
        self._sum += need
        self._most = max(self._most, need)
        return self.unused >= max(need, 1)

    def take(self) -> None:
        """Admit the request that was wanted last, for which there is enough."""
        self.unused -= self._need
        self.admitted += self._need

    def commit(self, held: int) -> None:
        """Take in that the end of a request is in Redis."""
        self.committed += held

    def release(self, held: int) -> None:
        """Take in that a request has ended of which nothing is counted: its hold is given back with the next call."""
        self.admitted -= held

    def limit_state(self) -> LimitState:
        """Return how the limit stands: what this share has, and what was left to others when it was taken."""
        return self.rule.limit_state(self.left + self.unused, self.reset_ms)

    def ask(self, wanted: int) -> tuple[Argument, ...]:
        """Return the arguments that give back what is unused, but for what is needed until the reply to `wanted`."""
        if self._holds:
            self.mean, self.largest = -(-self._sum // self._holds), self._most
            self._holds = self._sum = self._most = 0
        part = wanted * max(1, self.mean)
        self.unused = min(self.unused, part // 2)
        self._sent = self.admitted + self.unused, self.committed
        self.noted = max(self.noted, self._sent[0] + part)
        self.recorded = True
        self._number += 1
        return (self.rule.kind, self.rule.limit, max(1, self.largest), part, *self._sent, self._number, 0)

    def granted(self, part: int, left: int, reset_ms: int, _slot: int) -> None:
        """Take in what was given; no slot counts it."""
        self.unused += part
        self.noted = self._sent[0] + part
        self.left, self.reset_ms = left, reset_ms

    def refused(self, *, known: bool) -> None:
        """Take in that nothing was given, or that this is not known.

        A limit that gives nothing may have been changed, as by a refund: nothing more is admitted from it.
        """
        if known:
            self.unused, self.noted = 0, self._sent[0]
            self.recorded = self._sent[0] != self._sent[1]
