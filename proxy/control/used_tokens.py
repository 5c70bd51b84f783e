"""The service for tokens of others that may be exchanged once."""

import hashlib
import math

from proxy.control.records import Client


class UsedTokens:
    """Remembers which tokens of others were exchanged, for as long as they would have been valid."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def use(self, app: str, token_id: str, expires_at: float) -> bool:
        """Return True the first time for a `jti` within an app, of any number of simultaneous calls.

        `expires_at` is the end of the token in Unix seconds, after which it is refused without this.
        """
        return bool(
            await self._client.set(_name(app, token_id), b"", nx=True, pxat=math.ceil(expires_at * 1_000)),
        )


def _name(app: str, token_id: str) -> str:
    """Return the Redis key; the id is hashed, as it may have any length and any characters."""
    return f"tollgate:used-token:{{{app}}}:{hashlib.sha256(token_id.encode()).hexdigest()}"
