"""Commands that run until somebody ends them."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Have `stop` called, once, on Ctrl-C or SIGTERM; a second signal ends the process as usual."""
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        release()
        stop()

    def release() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupted)
    try:
        yield
    finally:
        release()
