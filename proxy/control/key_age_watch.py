"""Counts the keys that are due to be rotated, beside all other work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from middlewares.auth.records import KeyRecord, RecordRef
from proxy.control.key_age import rotation_due
from proxy.control.key_changes import handed_out
from proxy.control.records import APPS, Client, Records, keys_of
from proxy.store.clients import CLIENT_ERRORS

BATCH = 500
"""Most records and indexes that are read from one pause to the next: some 20 ms of CPU."""
PAUSE_SECONDS = 1.0
"""With these pauses a count of 1,000,000 keys takes about half an hour, and one of a few keys none."""
LOOK_SECONDS = 3_600.0
"""Time from one count to the next; an age is counted in days."""
_EXAMPLES = 10


@dataclass(slots=True)
class KeysDue:
    """Number of keys that are due to be rotated, and the ids of some of them."""

    number: int = 0
    examples: list[str] = field(default_factory=list)


async def _pause() -> None:
    await asyncio.sleep(PAUSE_SECONDS)


class KeyAgeWatch:
    """Counts the keys that are due, slowly, and holds no more than one batch of records in memory."""

    def __init__(self, client: Client, days: int, *, pause: Callable[[], Awaitable[None]] = _pause) -> None:
        """`days` is the age at which a key is due; 0: none ever is, and nothing is read.

        `pause` follows each full batch.
        """
        self._client: Any = client
        self._records = Records(client, KeyRecord)
        self._days = days
        self._pause = pause

    async def run(self, report: Callable[[KeysDue], None]) -> None:
        """Count now and then until cancelled; after a failure of Redis the last report stands."""
        while True:
            with suppress(*CLIENT_ERRORS):
                report(await self.count())
            await asyncio.sleep(LOOK_SECONDS)

    async def count(self) -> KeysDue:
        """Count once. Raises the errors of redis-py."""
        due = KeysDue()
        if self._days > 0:
            async for batch in self._batches():
                await self._add(due, await self._keys(batch))
        return due

    async def _keys(self, ids: list[str]) -> list[KeyRecord]:
        return await self._records.readable([RecordRef("key", key_id) for key_id in ids])

    async def _add(self, due: KeysDue, keys: list[KeyRecord]) -> None:
        now = datetime.now(UTC)
        aged = [key for key in keys if rotation_due(key, now, self._days)]
        older = await self._keys([key.replaces for key in aged if key.replaces is not None])
        found = [key.key_id for key in handed_out(aged, older)]
        due.number += len(found)
        due.examples += found[: _EXAMPLES - len(due.examples)]

    async def _batches(self) -> AsyncIterator[list[str]]:
        """Yield the ids of all keys; in a batch, each app counts like a key, for its index is read."""
        batch: list[str] = []
        apps = 0
        async for app in self._client.sscan_iter(APPS, count=BATCH):
            apps += 1
            async for key_id in self._client.sscan_iter(keys_of(app.decode()), count=BATCH):
                batch.append(key_id.decode())
                if len(batch) + apps >= BATCH:
                    yield batch
                    await self._pause()
                    batch, apps = [], 0
            if len(batch) + apps >= BATCH:
                yield batch
                await self._pause()
                batch, apps = [], 0
        yield batch
