"""Small objects that a browser keeps for us, and cannot change: JSON with an end and a code of authentication. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from typing import Any

_DIGEST = "sha256"


def seal(members: dict[str, Any], key: bytes, expires_at: int) -> str:
    """Return what `unseal` reads until that moment, in Unix seconds. Whoever has the text can read it, too."""
    text = base64.urlsafe_b64encode(json.dumps([expires_at, members], separators=(",", ":")).encode()).decode()
    return f"{text}.{hmac.digest(key, text.encode(), _DIGEST).hex()}"


def unseal(sealed: str, key: bytes, now: float) -> dict[str, Any] | None:
    """Return the members; None if they were changed, are of another key, or their time is over."""
    text, _, code = sealed.rpartition(".")
    if not hmac.compare_digest(code.encode(), hmac.digest(key, text.encode(), _DIGEST).hex().encode()):
        return None
    try:
        expires_at, members = json.loads(base64.urlsafe_b64decode(text))
    except (binascii.Error, ValueError):
        return None
    return members if now < expires_at and isinstance(members, dict) else None
