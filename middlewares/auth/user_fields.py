"""What users of apps may be called, the same for the API and the portal, and how addresses are compared. Pure."""

from __future__ import annotations

import re

LONGEST_EXTERNAL_ID = 255
LONGEST_EMAIL = 254
"""Characters of a path of RFC 5321 section 4.5.3.1.3, without its brackets."""
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
"""What an email address has at least; only a letter to it would tell more."""


def is_email(text: str) -> bool:
    """Return True if a text can be meant as an email address."""
    return len(text) <= LONGEST_EMAIL and text.isprintable() and EMAIL.fullmatch(text) is not None


def folded(email: str) -> str:
    """Return an address as addresses are compared: with the letters of ASCII in lower case, and no others.

    Unicode's lower case makes a `k` of the Kelvin sign, and so of two mailboxes one.
    """
    return email.encode().lower().decode()
