"""When a process that the supervisor has started stops: on SIGTERM, or once the supervisor is gone."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable


def stop_with_supervisor(stop: Callable[[], None]) -> None:
    """Call `stop` on SIGTERM, and when standard input, the supervisor's lifeline, ends. Needs a running loop."""
    loop = asyncio.get_running_loop()

    def supervisor_gone() -> None:
        loop.remove_reader(sys.stdin.fileno())
        stop()

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor passes it on
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_reader(sys.stdin.fileno(), supervisor_gone)
