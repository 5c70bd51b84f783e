"""Keeps the holds of running requests from expiring."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Set
from itertools import takewhile
from typing import Any

from msgspec import structs

from middlewares.ledger.concurrency import gather_bounded
from middlewares.ledger.model import Hold, leases_of
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import LEASES, RENEW
from middlewares.ledger.settlement.settler import SETTLE_SECONDS
from middlewares.store import Call, ScriptRunner


class OpenHolds:
    """The holds of one worker whose end is neither in Redis nor on disk yet.

    Each is renewed when a third of its time has passed, so that no renewal but the third in a row may fail.
    """

    def __init__(self, runner: ScriptRunner, keys: RedisKeys, hold_ttl: float) -> None:
        """`hold_ttl`: seconds after which a hold that is not renewed expires."""
        self._runner = runner
        self._keys = keys
        self._ttl = hold_ttl
        self._renewed: dict[str, tuple[Hold, float]] = {}
        """When each was opened or renewed last (`time.monotonic`), by request id; the oldest first."""

    @property
    def request_ids(self) -> Set[str]:
        """Requests whose hold is open: a live view."""
        return self._renewed.keys()

    @property
    def period(self) -> float:
        """Seconds between two calls of `renew`."""
        return min(self._ttl / 6, 1.0)

    def add(self, hold: Hold) -> None:
        """Renew it from now on."""
        self._renewed[hold.request_id] = hold, time.monotonic()

    def discard(self, hold: Hold) -> None:
        """Renew it no more; nothing where that is so already."""
        self._renewed.pop(hold.request_id, None)

    def give_back_leases(self, hold: Hold) -> None:
        """Begin to give back the leases of a hold that is settled later, and renew it without them. Returns at once.

        Where Redis does not take it the settlement gives them back.
        """
        leases = leases_of(hold)
        if not leases:
            return
        if found := self._renewed.get(hold.request_id):
            rest = structs.replace(hold, entries=tuple(entry for entry in hold.entries if entry.kind != "c"))
            self._renewed[hold.request_id] = rest, found[1]
        self._runner.run(Call(LEASES, leases, (hold.request_id,)), deadline=SETTLE_SECONDS).add_done_callback(_noticed)

    async def renew(self) -> None:
        """Renew every hold that is due. Raises `StoreError`."""
        due = time.monotonic() - self._ttl / 3
        old = [hold for hold, _ in takewhile(lambda entry: entry[1] < due, self._renewed.values())]
        await gather_bounded(self._renew, old)

    async def _renew(self, hold: Hold) -> None:
        keys = [self._keys.shared(self._keys.tag(hold.app)).holds, *leases_of(hold)]
        call = Call(RENEW, keys, (hold.request_id, int(self._ttl * 1000)))
        await self._runner.run(call, deadline=SETTLE_SECONDS)
        if found := self._renewed.pop(hold.request_id, None):  # else it was ended meanwhile
            self.add(found[0])


def _noticed(reply: asyncio.Future[Any]) -> None:
    """Take the reply of a call that nobody waits for."""
    if not reply.cancelled():
        reply.exception()
