"""When keys were last used: coarse, and written in batches, so that no request waits for it.

tollgate:key-used:{<client_id>}            hash: key id -> Unix seconds, a multiple of `COARSE_SECONDS`
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from proxy.control.records import Client

COARSE_SECONDS = 300
"""How exactly the time is known, and how often a worker writes it."""
_BATCH = 500
_LAST_USED = (files(__package__) / "lua" / "last_used.lua").read_text()


def used_of(client_id: str) -> str:
    """Return the Redis key of the times at which an app's keys were last used."""
    return f"tollgate:key-used:{{{client_id}}}"


class KeyUse:
    """Writes and reads when keys were last used. Raises what the client does."""

    def __init__(self, client: Client) -> None:
        self._client: Any = client

    async def record(self, used: Mapping[str, str], now: float) -> None:
        """Write that these keys, each with its app, have been used up to `now`, in Unix seconds."""
        coarse = int(now) // COARSE_SECONDS * COARSE_SECONDS
        by_app: defaultdict[str, list[str]] = defaultdict(list)
        for key, app in used.items():
            by_app[app].append(key)
        for app, keys in by_app.items():
            for start in range(0, len(keys), _BATCH):
                await self._client.eval(_LAST_USED, 1, used_of(app), coarse, *keys[start : start + _BATCH])

    async def of(self, app: str) -> dict[str, datetime]:
        """Return when each key of an app was last used; one that never was is not there."""
        found = await self._client.hgetall(used_of(app))
        return {key.decode(): datetime.fromtimestamp(int(seconds), UTC) for key, seconds in found.items()}
