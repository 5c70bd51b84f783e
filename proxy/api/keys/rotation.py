"""The rotation of an API key: a new key that may do the same, and for some time beside the old one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from pydantic import Field

from middlewares.auth.records import KeyRecord
from proxy.api.keys.models import CreatedKey, Future, KeyView
from proxy.api.models import RequestBody

LONGEST_OVERLAP_SECONDS = 365 * 86_400


class KeyRotation(RequestBody):
    """How a key is replaced by a new one that may do the same."""

    overlap_seconds: int = Field(86_400, ge=0, le=LONGEST_OVERLAP_SECONDS, description="Time that both keys work.")
    expires_at: Future | None = Field(None, description="End of the new key; null: that of the old one.")

    @property
    def overlap(self) -> timedelta:
        """Return the time that both keys work."""
        return timedelta(seconds=self.overlap_seconds)


class ReplacingKey(CreatedKey):
    """A new key in place of another. Its text is in this response and nowhere else."""

    replaces: str = Field(description="Id of the key that it replaces.")
    replaced_key_ends_at: datetime = Field(description="When that key ends.")

    @classmethod
    def after(cls, old: KeyRecord, new: KeyRecord, text: str, rotate_after_days: int) -> Self:
        """Return the view of the new key."""
        view = KeyView.of(new, rotate_after_days).model_dump()
        assert old.expires_at is not None  # noqa: S101 - a rotated key always ends
        return cls(**view, key=text, replaces=old.key_id, replaced_key_ends_at=old.expires_at)
