"""What the command line shows of a key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from proxy.api.admin.documents import KeyDocument

COLUMNS = (
    *("key_id", "last4", "name", "user", "status", "created_at", "last_used_at", "expires_at", "replaced_by"),
    *("rotation_due", "limits", "increase", "workloads", "models", "cidrs", "origins", "streams"),
)


def view_of(document: KeyDocument) -> dict[str, Any]:
    """Return what is shown of a key."""
    members = document.model_dump(mode="json", include=set(KeyDocument.model_fields))
    moments = {name: _text(getattr(document, name)) for name in ("created_at", "last_used_at", "expires_at")}
    return members | moments


def for_table(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same for people: limits as words, and nothing for what is not due."""
    words = {
        name: [f"{key} {value}" for key, value in shown[name].items()] if shown[name] else None
        for name in ("limits", "increase")
    }
    return {**shown, **words, "rotation_due": "yes" if shown["rotation_due"] else None}


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
