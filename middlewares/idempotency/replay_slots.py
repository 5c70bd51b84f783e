"""How many kept responses of an app are on their way at a time: each is read from Redis and held in memory whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from middlewares.exchange import Refusal

SLOTS = 16
"""At a time, for one app at one worker."""
WAIT_SECONDS = 5.0
"""How long a repetition waits for a slot."""


class ReplaySlots:
    """The slots of all apps."""

    def __init__(self, slots: int = SLOTS, wait_seconds: float = WAIT_SECONDS) -> None:
        self._slots = slots
        self._wait_seconds = wait_seconds
        self._apps: dict[str, tuple[asyncio.Semaphore, set[object]]] = {}
        """Semaphore of each app that has replays, and who has a slot or waits for one."""

    @asynccontextmanager
    async def slot(self, app: str) -> AsyncIterator[None]:
        """Have one of an app's slots in the block. Raises `Refusal` (429) where none is free for long."""
        semaphore, users = self._apps.setdefault(app, (asyncio.Semaphore(self._slots), set()))
        user = object()
        users.add(user)
        try:
            try:
                async with asyncio.timeout(self._wait_seconds):
                    await semaphore.acquire()
            except TimeoutError:
                raise self._refusal() from None
            try:
                yield
            finally:
                semaphore.release()
        finally:
            users.discard(user)
            if not users:
                self._apps.pop(app, None)

    def _refusal(self) -> Refusal:
        return Refusal(
            429,
            "rate_limited",
            f"At most {self._slots} kept responses of an app are sent at a time (replayed-responses). Read those that "
            "are on their way, then try again.",
            headers=[(b"retry-after", b"1")],
            members={
                "policy": "replayed-responses",
                "unit": "responses",
                "limit": self._slots,
                "remaining": 0,
                "reset": 1,
                "violated-policies": ["replayed-responses"],
            },
        )
