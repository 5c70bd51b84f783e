"""What a verification finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """A value in Redis, or in the history, that differs from what events and open holds give."""

    what: str
    """`usage`, `wallet`, `cap`, `included`, `allowance`; `event` (its copies) or `hold` (its expiry)."""
    where: str
    """Redis key, a space, and the field, event or request id."""
    expected: int
    found: int


def concerns(where: str, app: str, tag: str) -> bool:
    """Return True if a difference is in keys of the app, or in keys of its hash tag `tag` that name no app."""
    parts = where.partition(" ")[0].removeprefix(tag).split(":")
    return where.startswith(tag) and (app in parts or not any(part.startswith("app_") for part in parts))
