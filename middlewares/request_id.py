"""Request ids: a new ULID for every request.

A ULID is 48 bits of Unix milliseconds and 80 random bits in Crockford's base 32, 26 characters that sort by time. The
`ulid` library takes ten microseconds for one; this code takes less than one.
"""

import os
import time

_ALPHABET = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [chr(first) + chr(second) for first in _ALPHABET for second in _ALPHABET]
"""Pairs of digits, by the ten bits that they stand for."""
_DIGITS = bytes(_ALPHABET[byte % 32] for byte in range(256))
"""The digit of each byte: 256 is a multiple of 32, so random bytes give evenly distributed digits."""
_RANDOM = 16
"""Number of random digits of an id."""
_POOL = 1024
"""Number of ids whose random digits are drawn at once."""


class RequestIds:
    """Makes the ids of one worker."""

    def __init__(self) -> None:
        self._era = -1
        self._time = ""
        """Leading digits, which stay the same for 1,024 milliseconds."""
        self._random = ""
        self._next = 0

    def mint(self) -> str:
        """Return a new id."""
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
