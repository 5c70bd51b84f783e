"""What stands for the reference of a change of credits once it is erased.

It is a digest, so that the reference stays taken, and an event that comes back from a backup is known. Whoever has a
reference can still recognise it; nobody can read it.
"""

from __future__ import annotations

import hashlib

PREFIX = "erased-"
_CREDIT = "credit-"


def erased_reference(app: str, reference: str) -> str:
    """Return what stands for a reference of an app; one that is erased stands for itself."""
    if reference.startswith(PREFIX):
        return reference
    return PREFIX + hashlib.sha256(f"{app}\n{reference}".encode()).hexdigest()[:32]


def erased_id(event: str) -> str:
    """Return the id of an event once it is erased: that of a change of credits has its reference in it."""
    if not event.startswith(_CREDIT):
        return event
    app, _, reference = event.removeprefix(_CREDIT).partition("-")
    return f"{_CREDIT}{app}-{erased_reference(app, reference)}"
