"""Request ids: ULIDs, minted for every request.

A ULID is 48 bits of Unix milliseconds and 80 random bits in Crockford's base 32, 26 characters that sort by time. The
library takes ten microseconds for one; this takes one, and needs no more than uniqueness: ids are no secrets.
"""

import os
import time
from random import Random

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


class RequestIds:
    """Mints the ids of one worker."""

    def __init__(self) -> None:
        self._bits = Random(os.urandom(32)).getrandbits  # noqa: S311 - unique, not secret
        self._millisecond = -1
        self._prefix = ""

    def mint(self) -> str:
        """A new id."""
        now = time.time_ns() // 1_000_000
        if now != self._millisecond:
            self._millisecond = now
            self._prefix = _encode(now, 5)
        return self._prefix + _encode(self._bits(80), 8)


def _encode(value: int, pairs: int) -> str:
    """`value` in base 32, as `2 * pairs` characters."""
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(10 * (pairs - 1), -1, -10)])
