"""Leases in Redis: that by which one archiver at a time works on a hash tag, and others of that kind.

They only keep their owners out of each other's way. That nothing is archived twice is seen to by the token in the
history: see `proxy.history.writes`.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from ulid import ULID

from middlewares.ledger.redis_keys import RedisKeys
from proxy.control.records import Client
from proxy.history.batch import START, Entry

LEASE_SECONDS = 10.0
"""Life of a lease that is not renewed; after that long another archiver takes over."""
TRIM_STEP = 10_000
"""Most entries trimmed by one command, so that no other command waits for long."""

_LUA = files("proxy.history") / "lua"
_LEASE = (_LUA / "lease.lua").read_text()
_LOOK = f"local function lease()\n{_LEASE}end\n{(_LUA / 'look.lua').read_text()}"
_TRIM = (_LUA / "trim.lua").read_text()
_RELEASE = (_LUA / "release.lua").read_text()


async def take_lease(client: Client, name: str, owner: str, life_ms: int) -> bool:
    """Take or renew the lease of that name, a Redis key; return False if another owner has it."""
    caller: Any = client
    return int(await caller.eval(_LEASE, 1, name, owner, life_ms)) > 0


async def release_lease(client: Client, name: str, owner: str) -> None:
    """Give up the lease of that name, if it is this owner's."""
    caller: Any = client
    await caller.eval(_RELEASE, 1, name, owner)


@dataclass(frozen=True, slots=True)
class Look:
    """A stream at one moment, and whether it is this archiver's."""

    mine: bool
    taken: bool
    """True: the lease is new, so that another archiver may have worked on it since."""
    server: str
    """Run id of the Redis server."""
    now_ms: int
    first: Entry | None
    """First entry of the stream."""
    last: Entry
    """Last id that the stream has given."""


class ArchiverLeases:
    """The leases of one archiver."""

    def __init__(self, client: Client, keys: RedisKeys) -> None:
        self._client: Any = client
        self._keys = keys
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{ULID()}"

    async def look(self, tag: str) -> Look:
        """Take or renew the lease of a hash tag, unless another archiver has it."""
        names = self._names(tag)
        life = int(LEASE_SECONDS * 1000)
        mine, server, now_ms, first, last = await self._client.eval(_LOOK, 2, *names, self.owner, life)
        return Look(
            mine=mine > 0,
            taken=mine == 2,
            server=server.decode(),
            now_ms=now_ms,
            first=Entry.parse(first) if first else None,
            last=Entry.parse(last) if last else START,
        )

    async def trim(self, tag: str, server: str, keep: Entry) -> int:
        """Trim entries before `keep`, at most `TRIM_STEP`. Return how many; -1: it is not this archiver's any more.

        Redis trims whole nodes, so that up to a hundred entries before `keep` stay.
        """
        names = *self._names(tag), self._keys.shared(tag).trimmed
        return int(await self._client.eval(_TRIM, 3, *names, self.owner, server, str(keep), TRIM_STEP))

    async def release(self) -> None:
        """Give up all leases, so that another archiver need not wait for their end."""
        for tag in self._keys.tags:
            await release_lease(self._client, self._names(tag)[0], self.owner)

    def _names(self, tag: str) -> tuple[str, str]:
        return f"{tag}archiver", self._keys.shared(tag).events
