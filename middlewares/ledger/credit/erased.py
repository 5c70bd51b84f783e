"""What stands for the reference of a change of credits once it is erased.

It is a digest, so that the reference stays taken, and an event that comes back from a backup is known. Whoever has a
reference can still recognise it; nobody can read it.
"""

from __future__ import annotations

import hashlib

PREFIX = "erased-"
_CREDIT = "credit"


def erased_reference(app: str, reference: str) -> str:
    """Return what stands for a reference of an app; one that is erased stands for itself."""
    if reference.startswith(PREFIX):
        return reference
    return PREFIX + hashlib.sha256(f"{app}\n{reference}".encode()).hexdigest()[:32]


def credit_id(app: str, reference: str, part: int) -> str:
    """Return the id of the event of a change of credits, number `part` of its reference, from 0.

    The number stands in front, for references are of any form: `order-7-1` is another one than the second of `order-7`.
    """
    return f"{_CREDIT}{f'.{part}' if part else ''}-{app}-{reference}"


def erased_id(event: str) -> str:
    """Return the id of an event once it is erased: that of a change of credits has its reference in it."""
    if not event.startswith(_CREDIT):
        return event
    head, _, rest = event.partition("-")
    app, _, reference = rest.partition("-")
    return f"{head}-{app}-{erased_reference(app, reference)}"
