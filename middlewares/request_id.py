"""Request ids: ULIDs, minted for every request.

A ULID is 48 bits of Unix milliseconds and 80 random bits in Crockford's base 32, 26 characters that sort by time. The
library takes ten microseconds for one; this takes a fraction of one.
"""

import os
import time

_ALPHABET = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [chr(first) + chr(second) for first in _ALPHABET for second in _ALPHABET]
"""Two digits, by the ten bits they stand for."""
_DIGITS = bytes(_ALPHABET[byte % 32] for byte in range(256))
"""Any byte as a digit: 256 is a multiple of 32, so random bytes make evenly random digits."""
_RANDOM = 16
"""Random digits of an id."""
_POOL = 1024
"""Ids whose random digits are drawn at once."""


class RequestIds:
    """Mints the ids of one worker."""

    def __init__(self) -> None:
        self._era = -1
        self._time = ""
        """The digits of an id that stay the same for 1,024 milliseconds."""
        self._random = ""
        self._next = 0

    def mint(self) -> str:
        """A new id."""
        now = time.time_ns() // 1_000_000
        if now >> 10 != self._era:
            self._era = era = now >> 10
            self._time = (
                _PAIRS[era >> 30] + _PAIRS[(era >> 20) & 1023] + _PAIRS[(era >> 10) & 1023] + _PAIRS[era & 1023]
            )
        start = self._next
        if start == len(self._random):
            self._random = os.urandom(_RANDOM * _POOL).translate(_DIGITS).decode()
            start = 0
        self._next = end = start + _RANDOM
        return self._time + _PAIRS[now & 1023] + self._random[start:end]
