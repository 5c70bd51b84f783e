"""What a wallet with lots must do, in plain integers: the twin of `credit/lua/lots.lua`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class LotModel:
    """Promotional or expiring credits."""

    promotional: bool
    expires: int
    rest: int
    reserved: int = 0
    ended: bool = False

    def over(self, now: int) -> bool:
        return self.ended or 0 < self.expires <= now

    @property
    def order(self) -> tuple[bool, float]:
        return not self.promotional, self.expires or float("inf")


@dataclass
class WalletModel:
    """One wallet. Whatever is not in a lot is paid money, spent last."""

    granted: int = 0
    spent: int = 0
    held: int = 0
    lots: list[LotModel] = field(default_factory=list)
    """In the order of spending; equal ones in the order in which they came."""
    holds: dict[str, tuple[int, list[tuple[LotModel, int]]]] = field(default_factory=dict)
    """Amount that is reserved, and of which lots how much."""
    expired: list[tuple[int, int]] = field(default_factory=list)
    """When, and how much."""

    @property
    def available(self) -> int:
        """What a request could reserve if nothing had expired since it was last written."""
        return self.granted - self.spent - self.held

    def leaving(self, now: int) -> list[tuple[LotModel, int]]:
        """What leaves by now: each lot that is over pays what other money lacks, and the rest of it leaves."""
        owed = max(0, sum(lot.rest for lot in self.lots) - self.available)
        found = []
        for lot in sorted((lot for lot in self.lots if lot.over(now)), key=lambda each: each.expires):
            paid = min(owed, lot.rest)
            owed -= paid
            found.append((lot, lot.rest - paid))
        return found

    def free(self, now: int) -> int:
        return self.available - sum(amount for _, amount in self.leaving(now))

    def expire(self, now: int) -> None:
        for lot, amount in self.leaving(now):
            if amount:
                self.expired.append((now if lot.ended else lot.expires, amount))
            lot.rest, lot.ended = 0, True
            self.granted -= amount
        self.lots = [lot for lot in self.lots if lot.rest or lot.reserved]

    def grant(self, now: int, amount: int, *, promotional: bool = False, expires: int = 0) -> None:
        self.expire(now)
        self.granted += amount
        if promotional or expires:
            self.lots.append(LotModel(promotional, expires, amount))
            self.lots.sort(key=lambda each: each.order)  # stable

    def debit(self, now: int, amount: int, *, force: bool) -> bool:
        if self.free(now) < amount and not force:
            return False
        self.expire(now)
        self.granted -= amount
        return True

    def admit(self, now: int, hold: str, amount: int) -> bool:
        """Reserve, first of the lots."""
        if self.free(now) <= 0 or self.free(now) < amount:
            return False
        self.held += amount
        self.holds[hold] = amount, self._take(now, amount)
        for lot, part in self.holds[hold][1]:
            lot.reserved += part
        return True

    def settle(self, now: int, hold: str, used: int) -> None:
        """Spend first what the hold has of lots, then of those that there are, then other money."""
        reserved, parts = self.holds.pop(hold)
        if not reserved and not used:
            return  # the wallet is not written, so what has expired leaves it later
        self.expire(now)
        self.held -= reserved
        self.spent += used
        unpaid = used
        for lot, part in parts:
            spends = min(unpaid, part)
            unpaid -= spends
            lot.reserved -= part
            lot.rest += part - spends
        self._take(now, unpaid)
        self.expire(now)

    def _take(self, now: int, amount: int) -> list[tuple[LotModel, int]]:
        parts = []
        for lot in self.lots:
            if not lot.over(now) and (part := min(amount, lot.rest)):
                lot.rest -= part
                amount -= part
                parts.append((lot, part))
        return parts
