"""The service for links to a view of the portal: each shows one subject of an app what it used, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from middlewares.auth.keys import hash_secret, mint_view_link, parse_view_link
from middlewares.auth.records import RecordRef
from proxy.control.developers.expiring import OwnedRecords, find_by_secret
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
        self._pepper = pepper
        self._records = Records(client, ViewLinkRecord)
        self._owned = OwnedRecords(client, self._records, "view-link", view_links_of)

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
        await self._owned.add(app, link, most=MOST_LINKS)
        return link, secret

    async def find(self, secret: str) -> ViewLinkRecord | None:
        """Return the link of a secret, which stays good; None if it is unknown, wrong or over."""
        parts = parse_view_link(secret.encode(errors="replace"))
        return await find_by_secret(self._records, "view-link", parts, self._pepper)

    async def end(self, app: str, link_id: str) -> bool:
        """End a link of an app at once. Return False if the app has none of that id."""
        return await self._owned.end(app, link_id)

    async def list(self, app: str) -> list[ViewLinkRecord]:
        """Return the links of an app that are good, oldest first."""
        return await self._owned.of_owner(app)
