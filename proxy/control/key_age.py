"""The age of keys: which of them are due to be rotated. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from middlewares.auth.records import KeyRecord


def rotation_due(key: KeyRecord, now: datetime, days: int) -> bool:
    """Return True for a key that works, was not rotated, and is as old as `days` at least; 0: none is."""
    ended = key.status != "active" or (key.expires_at is not None and key.expires_at <= now)
    return days > 0 and not ended and key.replaced_by is None and now - key.created_at >= timedelta(days=days)
