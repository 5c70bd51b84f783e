"""Timer finer than those of an event loop, which count whole milliseconds."""

from __future__ import annotations

import ctypes
import os
import time
from ctypes import c_long

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_SECOND = 1_000_000_000
_LEAD_NS = 50_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", c_long), ("nanoseconds", c_long))


class _Schedule(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("first", _Timespec))


class Timer:
    """Linux timerfd: `fileno()` is readable at every instant `start` + n * `period`, in `time.monotonic_ns`.

    Raises `OSError` where the system has none.
    """

    def __init__(self, period: int) -> None:
        self.start = time.monotonic_ns() + _LEAD_NS
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        schedule = _Schedule(_Timespec(*divmod(period, _SECOND)), _Timespec(*divmod(self.start, _SECOND)))
        if self._descriptor < 0 or libc.timerfd_settime(self._descriptor, _ABSOLUTE, ctypes.byref(schedule), None):
            raise OSError(ctypes.get_errno(), "no timerfd")

    def fileno(self) -> int:
        """Return the descriptor for the event loop to watch."""
        return int(self._descriptor)

    def passed(self) -> int:
        """Return how many instants have passed since the last call."""
        return int.from_bytes(os.read(self._descriptor, 8), "little")

    def close(self) -> None:
        os.close(self._descriptor)
