"""How many examples a property test tries, and under which names: all tests of a process may share a Redis."""

from __future__ import annotations

import itertools

from hypothesis import settings

_NUMBERS = itertools.count()


def examples(quick: int, full: int) -> int:
    """Return `full` where new examples are looked for (`make fuzz`), else `quick`."""
    return full if settings.get_current_profile_name() == "explore" else quick


def new_name(kind: str = "app") -> str:
    """Return a name that no other example and no other test of this process has."""
    return f"{kind}{next(_NUMBERS)}"
