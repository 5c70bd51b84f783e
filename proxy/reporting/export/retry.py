"""Retries with growing pauses, for receivers and for Redis; each change of trouble is reported once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from middlewares.store import StoreError
from proxy.reporting.export.sinks import TryLater
from proxy.store.clients import CLIENT_ERRORS, wait

T = TypeVar("T")

STORE_TROUBLE = (*CLIENT_ERRORS, StoreError)

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0


class GaveUp(Exception):
    """Delivery has failed for too long; events that were not delivered wait for the next run."""


class Failing(Exception):
    """The receiver was reached, and has failed by itself as often as was allowed."""


class Retry:
    """The retries of one run, which `stop` ends."""

    def __init__(self, patience: float | None, report: Callable[[str], None]) -> None:
        """`patience` is the seconds of retries while nothing works (None: for ever)."""
        self._patience = patience
        self._report = report
        self._trouble = ""
        self.stopping = asyncio.Event()

    async def until_done(
        self, attempt: Callable[[], Awaitable[T]], *, faults: int | None = None, since: float | None = None
    ) -> T:
        """Retry until it works, and return its result.

        Raises `GaveUp` when the run ends, or after `patience` seconds from `since` on (time of the loop; None: now).
        Raises `Failing` when the receiver itself has failed `faults` times in a row.
        """
        loop = asyncio.get_running_loop()
        began, wait, failures = loop.time() if since is None else since, _FIRST_WAIT, 0
        while True:
            try:
                result = await attempt()
            except (TryLater, *STORE_TROUBLE) as error:
                trouble = str(error)
                failures = failures + 1 if isinstance(error, TryLater) and error.fault else 0
                pause = wait * random.uniform(0.5, 1)  # noqa: S311 - so that exporters do not retry in step
                if isinstance(error, TryLater) and error.after is not None:
                    pause = max(pause, error.after)
            else:
                if self._trouble:
                    self._trouble = ""
                    self._report("works again")
                return result
            out_of_patience = self._patience is not None and loop.time() + pause - began > self._patience
            if out_of_patience or self.stopping.is_set():
                raise GaveUp(trouble)
            if failures == faults:
                raise Failing(trouble)
            if trouble != self._trouble:
                self._report(f"{trouble}; trying again")
                self._trouble = trouble
            await self.pause(pause)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def pause(self, seconds: float) -> None:
        """Sleep, at most until the run is to end."""
        await wait(self.stopping, seconds)
