"""Script runners in front of a real store."""

from __future__ import annotations

import asyncio
from typing import Any

from middlewares.store import Call, StoreTimeout, StoreUnavailable
from proxy.store.store import Store


class UnreliableStore:
    """Passes calls on to the store it points at, or loses them on the way there or back."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.away = False
        """True: no call reaches the store."""
        self.deaf = False
        """True: calls are run, but their replies are lost."""

    def run(self, call: Call, *, deadline: float | None = None) -> asyncio.Future[Any]:
        """As `ScriptRunner.run`."""
        return asyncio.ensure_future(self._run(call, deadline))

    async def _run(self, call: Call, deadline: float | None) -> Any:
        if self.away:
            raise StoreUnavailable("nobody there")
        reply = await self.store.run(call, deadline=deadline)
        if self.deaf:
            raise StoreTimeout("no reply", may_have_run=True)
        return reply
