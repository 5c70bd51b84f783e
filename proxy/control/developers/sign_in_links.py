"""The service for sign-in links: each lets one developer sign in to the portal, once and soon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from middlewares.auth.keys import hash_secret, mint_sign_in_link, parse_sign_in_link
from middlewares.auth.records import RecordRef
from proxy.control.developers.expiring import find_by_secret
from proxy.control.developers.records import DeveloperRecord, SignInLinkRecord
from proxy.control.records import Client, Records

SIGN_IN_PATH = "/portal/sign-in/"
"""What the secret of a link stands behind in its URL."""


class InactiveDeveloper(Exception):
    """The developer is suspended, or waits for approval, and may not sign in."""

    audit_code = "developer_inactive"


class SignInLinks:
    """Makes, finds and uses up sign-in links."""

    def __init__(self, client: Client, pepper: bytes | None) -> None:
        self._client = client
        self._pepper = pepper
        self._records = Records(client, SignInLinkRecord)
        self._developers = Records(client, DeveloperRecord)

    async def create(self, developer: str, lifetime: timedelta) -> tuple[SignInLinkRecord, str]:
        """Create a link. Return it and its secret, which is not stored. Raises `UnknownRecord`, `InactiveDeveloper`."""
        owner = await self._developers.require(RecordRef("developer", developer))
        if owner.status != "active":
            raise InactiveDeveloper(f"developer {developer} is {owner.status}, and may not sign in")
        secret, parts = mint_sign_in_link()
        now = datetime.now(UTC)
        link = SignInLinkRecord(
            link_id=parts.key_id,
            hash=hash_secret(parts.secret, self._pepper),
            developer=developer,
            created_at=now,
            expires_at=now + lifetime,
        )
        await self._records.add(link, expires_at=link.expires_at)
        return link, secret

    async def find(self, secret: str) -> SignInLinkRecord | None:
        """Return the link of a secret, which stays good; None if it is unknown, used or over."""
        parts = parse_sign_in_link(secret.encode(errors="replace"))
        return await find_by_secret(self._records, "sign-in-link", parts, self._pepper)

    async def take(self, link_id: str) -> bool:
        """Use up a link. Return True for the first who does."""
        return await self._records.remove(RecordRef("sign-in-link", link_id))
