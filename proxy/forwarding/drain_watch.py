"""Keeps the fleet of a worker told which gateways are drained."""

from __future__ import annotations

import asyncio

from middlewares.auth.records import RecordRef
from middlewares.tier_routing.fleet import Fleet
from proxy.control.drained_gateways import NOTICE, DrainedGateways
from proxy.store.clients import CLIENT_ERRORS

_PAUSE_SECONDS = 1.0
"""Time before Redis is asked again, where it has failed."""


class DrainWatch:
    """Reads which gateways are drained, at the start and whenever that may have changed."""

    def __init__(self, drained: DrainedGateways, fleet: Fleet) -> None:
        self._drained = drained
        self._fleet = fleet
        self._wanted = asyncio.Event()
        self._wanted.set()

    def changed(self, ref: RecordRef) -> None:
        """Take notice of a changed record, of any kind."""
        if ref.kind == NOTICE.kind:
            self._wanted.set()

    def missed(self) -> None:
        """Take notice that notices may have been missed."""
        self._wanted.set()

    async def run(self) -> None:
        """Read whenever it is wanted, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                self._fleet.drain(await self._drained.since())
            except CLIENT_ERRORS:
                await asyncio.sleep(_PAUSE_SECONDS)
                self._wanted.set()
