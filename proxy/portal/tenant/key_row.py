"""One key as the pages about keys show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from middlewares.auth.records import KeyRecord
from proxy.portal.tenant.key_fields import typed_name, works


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key of the page."""

    record: KeyRecord
    user: str
    """External id of the user it belongs to; empty: the app itself."""
    last_used: datetime | None
    due: bool
    """True: it is older than keys should become."""
    limits: Sequence[tuple[str, str]]
    """Its own limits, in words."""
    manageable: bool
    """True: the visitor may rotate and revoke it."""
    suspended: bool
    """True: its user is suspended."""

    @property
    def status(self) -> str:
        """Return how it stands, in a word."""
        if self.record.status != "active":
            return "Revoked"
        if not self.works:
            return "Expired"
        if self.suspended:
            return "User suspended"
        return "Replaced" if self.record.replaced_by else "Active"

    @property
    def typed_name(self) -> str:
        """Return what has to be typed to revoke it."""
        return typed_name(self.record)

    @property
    def works(self) -> bool:
        """Return True if requests may still use it."""
        return works(self.record, datetime.now(UTC))
