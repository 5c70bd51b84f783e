"""How a process that the template has forked speaks with the supervisor: its channel, which is its lifeline, too."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

CHANNEL = 0
"""Descriptor of its end of the channel."""
READY = b"ready\n"
"""Line of a process that now does its work."""
RELOAD = b"reload\n"
"""Line of a worker that was asked to have the configuration taken anew."""


def stop_with_supervisor(stop: Callable[[], None]) -> None:
    """Call `stop` on SIGTERM, and when the lifeline ends, for the supervisor is gone then. Needs a running loop."""
    loop = asyncio.get_running_loop()

    def supervisor_gone() -> None:
        loop.remove_reader(CHANNEL)
        stop()

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor passes it on
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_reader(CHANNEL, supervisor_gone)


def tell_supervisor(line: bytes) -> None:
    """Send the supervisor a line; one that is gone needs none."""
    try:
        os.write(CHANNEL, line)
    except BrokenPipeError:
        return  # the lifeline has ended, too
