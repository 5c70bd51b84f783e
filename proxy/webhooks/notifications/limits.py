"""Notifications about caps and balances, from how they stand. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from middlewares.bounded_cache import BoundedCache
from middlewares.ledger.admission.rules import LimitRule
from middlewares.ledger.periods import TOTAL, period_ends, period_of
from middlewares.ledger.settlement.event import iso
from proxy.webhooks.notifications.notification import Notification, NotificationKind

HOUR_MS = 3_600_000
SHORTEST_MS = 600_000
"""Least time that is looked back on for a forecast."""
SAMPLE_MS = 300_000
"""Least time between two samples of one cap or balance."""
MOST_SUBJECTS = 20_000


@dataclass(frozen=True, slots=True)
class CapUse:
    """A cap of a plan, or a spend limit of a key, as it stands."""

    rule: LimitRule
    """With the limit that holds now."""
    app: str
    user: str | None
    key: str | None
    used: int
    """In counted units."""
    now: int
    """Redis time, Unix milliseconds."""

    @property
    def period(self) -> str:
        """Return the day, the month, or `total`."""
        return period_of(self.rule.kind, self.now)

    @property
    def ends(self) -> int | None:
        """Return when the period is over, in Unix milliseconds; None: never."""
        return None if self.period == TOTAL else period_ends(self.rule.kind, self.now)

    @property
    def subject(self) -> tuple[str, str, str]:
        """Return what distinguishes it from all others: cap, period, and limit, which the operator may change."""
        return self.rule.keys[0], self.period, str(self.rule.limit)

    def data(self) -> dict[str, object]:
        """Return what a notification says of it, in the units that the operator declared."""
        return {
            "policy": self.rule.policy,
            "user": self.user,
            "key_id": self.key,
            "unit": self.rule.unit,
            "period": self.period,
            "period_ends": None if self.ends is None else iso(self.ends),
            "limit": str(self.rule.limit // self.rule.factor),
            "used": str(self.used // self.rule.factor),
            "enforced": not self.rule.shadow,
        }


@dataclass(frozen=True, slots=True)
class WalletState:
    """A wallet as it stands, in atomic units."""

    name: str
    """Its key in Redis."""
    app: str
    user: str | None
    granted: int
    spent: int

    @property
    def left(self) -> int:
        """Return what is left, before what runs now is paid."""
        return self.granted - self.spent

    def data(self) -> dict[str, object]:
        """Return what a notification says of it."""
        return {"user": self.user, "balance": str(self.left), "granted": str(self.granted), "spent": str(self.spent)}


def crossed(use: CapUse, thresholds: Iterable[int]) -> Iterator[Notification]:
    """Yield a notification for each share of the cap, in percent, that is used."""
    for percent in sorted(set(thresholds)):
        if use.used * 100 >= use.rule.limit * percent:
            subject = (*use.subject, str(percent))
            data = {"percent": percent, **use.data()}
            yield Notification(NotificationKind.LIMIT_THRESHOLD, use.app, subject, data)


def low(wallet: WalletState, below: str) -> Notification | None:
    """Return the notification that less than `below` is left; once until the next grant."""
    if wallet.left >= int(below):
        return None
    subject = (wallet.user or "", below, str(wallet.granted))
    return Notification(NotificationKind.BALANCE_LOW, wallet.app, subject, {"below": below, **wallet.data()})


def cap_ends(use: CapUse, at: int | None, hours: int) -> Notification | None:
    """Return the notification that a cap that is used up `at` (Unix milliseconds) is so within `hours`."""
    if at is None or at - use.now > hours * HOUR_MS or (use.ends is not None and at >= use.ends):
        return None
    return Notification(NotificationKind.LIMIT_FORECAST, use.app, use.subject, {"ends": iso(at), **use.data()})


def balance_ends(wallet: WalletState, at: int | None, now: int, hours: int) -> Notification | None:
    """Return the notification that a balance that is used up `at` is so within `hours`; once until the next grant."""
    if at is None or at - now > hours * HOUR_MS:
        return None
    subject = (wallet.user or "", str(wallet.granted))
    return Notification(NotificationKind.BALANCE_FORECAST, wallet.app, subject, {"ends": iso(at), **wallet.data()})


class Consumption:
    """How fast caps and balances are used: samples of the last hour, in memory.

    Another process that takes over knows nothing of it and can forecast again after ten minutes.
    """

    def __init__(self) -> None:
        self._samples: BoundedCache[str, deque[tuple[int, int]]] = BoundedCache(lambda _: deque(), room=MOST_SUBJECTS)

    def used_up(self, name: str, used: int, left: int, now: int) -> int | None:
        """Return when nothing will be left, in Unix milliseconds; None: not known, never, or already.

        `name` is that of a cap or balance, `used` only grows unless its period is new.
        """
        samples = self._samples[name]
        if samples and used < samples[-1][1]:
            samples.clear()
        while samples and samples[0][0] < now - HOUR_MS:
            samples.popleft()
        first = samples[0] if samples else (now, used)
        if not samples or now - samples[-1][0] >= SAMPLE_MS:
            samples.append((now, used))
        elapsed, growth = now - first[0], used - first[1]
        if elapsed < SHORTEST_MS or growth <= 0 or left <= 0:
            return None
        return now + left * elapsed // growth
