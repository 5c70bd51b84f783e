"""The service for revoked tokens of our own issuer."""

import math

import msgspec

from middlewares.auth.records import RecordRef
from proxy.control.records import CHANGES, Client, name_of


class RevokedTokens:
    """Remembers which tokens were revoked, for as long as they would have been valid."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def revoke(self, token_id: str, expires_at: float) -> None:
        """End a token for good, in every worker at once. `expires_at`, in Unix seconds, is its own end."""
        ref = RecordRef("token", token_id)
        await self._client.set(name_of(ref), b"", pxat=math.ceil(expires_at * 1_000))
        await self._client.publish(CHANGES, msgspec.json.encode(ref))
