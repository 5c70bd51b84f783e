"""What the command line shows of a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from config.settings import Settings
from middlewares.auth.records import KeyRecord
from middlewares.ledger.admission.key_limits import KeyLimits
from proxy.control.key_age import rotation_due

COLUMNS = (
    *("key_id", "last4", "name", "user", "status", "created_at", "last_used_at", "expires_at", "replaced_by"),
    *("rotation_due", "limits", "increase", "workloads", "models", "cidrs", "origins", "streams"),
)


def key_view(record: KeyRecord, settings: Settings, used: Mapping[str, datetime] | None = None) -> dict[str, Any]:
    """Return what is shown of a key; `used` is when each key of its app was last used."""
    now = datetime.now(UTC)
    expired = record.expires_at is not None and record.expires_at <= now
    increase = record.increase
    return {
        "key_id": record.key_id,
        "last4": record.last4,
        "app": record.app,
        "user": record.user,
        "name": record.name,
        "description": record.description,
        "status": "expired" if expired and record.status == "active" else record.status,
        "created_at": _text(record.created_at),
        "last_used_at": _text((used or {}).get(record.key_id)),
        "expires_at": _text(record.expires_at),
        "rotation_due": rotation_due(record, now, settings.auth.rotate_after_days),
        "limits": _limits(record.limits),
        "increase": {**(_limits(increase.limits) or {}), "until": _text(increase.until)} if increase else None,
        "workloads": sorted(record.workloads) if record.workloads is not None else None,
        "models": sorted(record.models) if record.models is not None else None,
        "cidrs": list(record.cidrs) if record.cidrs is not None else None,
        "origins": list(record.origins) if record.origins is not None else None,
        "streams": sorted(record.streams) if record.streams is not None else None,
        "replaced_by": record.replaced_by,
    }


def for_table(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same for people: limits as words, and nothing for what is not due."""
    words = {
        name: [f"{key} {value}" for key, value in shown[name].items()] if shown[name] else None
        for name in ("limits", "increase")
    }
    return {**shown, **words, "rotation_due": "yes" if shown["rotation_due"] else None}


def _limits(limits: KeyLimits | None) -> dict[str, int | str] | None:
    return {name: value for name, value in asdict(limits).items() if value is not None} if limits else None


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
