"""A worker's notes of the keys that it has served, which it writes down from time to time."""

from __future__ import annotations

import asyncio
import time

from middlewares.store import StoreError
from proxy.control.key_use import COARSE_SECONDS, KeyUse
from proxy.control.records import Client
from proxy.store.clients import CLIENT_ERRORS


class KeyUseRecorder:
    """Notes keys in `used`, key id to app; writing them down costs a call for each app, not for each request."""

    def __init__(self, client: Client) -> None:
        self.used: dict[str, str] = {}
        self._use = KeyUse(client)

    async def run(self) -> None:
        """Write down what was noted, every few minutes, until cancelled."""
        while True:
            await asyncio.sleep(COARSE_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write down what was noted; what Redis does not take now is written with the next."""
        noted = self.used.copy()
        self.used.clear()  # the same object: stages hold it
        if not noted:
            return
        try:
            await self._use.record(noted, time.time())
        except (StoreError, *CLIENT_ERRORS):
            self.used.update({**noted, **self.used})
