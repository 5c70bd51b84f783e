"""Lots: credits that are promotional or expire, and are spent before the other money of their wallet."""

from __future__ import annotations

from dataclasses import dataclass

PROMOTIONAL, PAID = 0, 1
"""Ranks of lots in the order of spending."""


@dataclass(frozen=True, slots=True)
class LotTerms:
    """What makes credits a lot."""

    promotional: bool = False
    """True: they are spent before all that are not."""
    expires_ms: int = 0
    """Redis time in Unix milliseconds at which what is left of them leaves the wallet; 0: never."""

    @property
    def rank(self) -> int:
        """Return the rank in the order of spending."""
        return PROMOTIONAL if self.promotional else PAID

    def __bool__(self) -> bool:
        """Return False for credits that are no lot: paid ones that never expire."""
        return self.promotional or self.expires_ms > 0


PLAIN = LotTerms()


@dataclass(frozen=True, slots=True)
class Lot:
    """One lot of a wallet; amounts in atomic units."""

    id: str
    terms: LotTerms
    left: int
    """What no request has reserved or spent."""
    reserved: int
    """Reserved for requests that run, which may spend it after the expiry, too."""


def lots_of(text: bytes, now_ms: int) -> tuple[Lot, ...]:
    """Return the lots of a wallet in the order of spending, from the field `lots` as `lua/lots.lua` writes it.

    Nothing is left of those that have expired at that Redis time.
    """
    found = []
    for each in text.decode().split():
        id_, rank, expires, rest, reserved, ended = each.split(",")
        terms = LotTerms(promotional=int(rank) == PROMOTIONAL, expires_ms=int(expires))
        over = ended == "1" or 0 < terms.expires_ms <= now_ms
        found.append(Lot(id_, terms, 0 if over else int(rest), int(reserved)))
    return tuple(found)
