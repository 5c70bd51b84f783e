"""The service for links to a view of the portal: each shows one subject of an app what it used, and changes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from middlewares.auth.keys import hash_secret, matches, mint_view_link, parse_view_link
from middlewares.auth.records import RecordRef
from proxy.control.records import Client, Records

MOST_LINKS = 10_000
"""Most links of one app; the one that would end first makes room for the next."""

SubjectKind = Literal["user", "member"]


@dataclass(frozen=True, slots=True)
class ViewLinkRecord:
    """A link, without its secret, by which a subject sees what is its own in an app."""

    link_id: str
    hash: str = field(repr=False)
    app: str
    kind: SubjectKind
    """`user`: an end user, who sees its own part. `member`: a developer, who sees the app as a viewer does."""
    subject: str
    """User id or developer id."""
    created_at: datetime
    expires_at: datetime

    @property
    def ref(self) -> RecordRef:
        return RecordRef("view-link", self.link_id)


def view_links_of(client_id: str) -> str:
    """Return the Redis key of the sorted set of an app's links, by their end."""
    return f"tollgate:app-view-links:{{{client_id}}}"


class ViewLinks:
    """Makes, finds and ends links. Whether their subjects may still look is for whoever shows something to ask."""

    def __init__(self, client: Client, pepper: bytes | None) -> None:
        self._client = client
        self._pepper = pepper
        self._records = Records(client, ViewLinkRecord)

    async def create(
        self, app: str, kind: SubjectKind, subject: str, lifetime: timedelta
    ) -> tuple[ViewLinkRecord, str]:
        """Create a link. Return it and its secret, which is not stored."""
        secret, parts = mint_view_link()
        now = datetime.now(UTC)
        link = ViewLinkRecord(
            link_id=parts.key_id,
            hash=hash_secret(parts.secret, self._pepper),
            app=app,
            kind=kind,
            subject=subject,
            created_at=now,
            expires_at=now + lifetime,
        )
        index = view_links_of(app)
        await self._client.zremrangebyscore(index, "-inf", time.time() * 1_000)
        await self._client.zadd(index, {link.link_id: link.expires_at.timestamp() * 1_000})
        await self._records.add(link, expires_at=link.expires_at)
        for each in await self._ids(app, last=-MOST_LINKS - 1):
            await self.end(app, each)
        return link, secret

    async def find(self, secret: str) -> ViewLinkRecord | None:
        """Return the link of a secret, which stays good; None if it is unknown, wrong or over."""
        parts = parse_view_link(secret.encode(errors="replace"))
        link = None if parts is None else await self._records.get(RecordRef("view-link", parts.key_id))
        if parts is None or link is None or not matches(parts.secret, link.hash, self._pepper):
            return None
        return link if link.expires_at > datetime.now(UTC) else None

    async def end(self, app: str, link_id: str) -> bool:
        """End a link of an app at once. Return False if the app has none of that id."""
        if not await self._client.zrem(view_links_of(app), link_id):
            return False
        await self._records.remove(RecordRef("view-link", link_id))
        return True

    async def list(self, app: str) -> list[ViewLinkRecord]:
        """Return the links of an app that are good, oldest first."""
        return await self._records.several([RecordRef("view-link", each) for each in await self._ids(app)])

    async def _ids(self, app: str, last: int = -1) -> Sequence[str]:
        found: Any = await self._client.zrange(view_links_of(app), 0, last)
        return [each.decode() for each in found]
