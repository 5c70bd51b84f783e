"""How many examples a property test tries."""

from __future__ import annotations

from hypothesis import settings


def examples(quick: int, full: int) -> int:
    """Return `full` where new examples are looked for (`make fuzz`), else `quick`."""
    return full if settings.get_current_profile_name() == "explore" else quick
