"""Removal of secrets from everything that is logged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REDACTED = "[redacted]"

_SECRET_NAME = re.compile(
    r"(^|[_\-\s])(secret|authorization|api[_-]?key|password|passwd|token|cookie|pepper|credentials?)$", re.IGNORECASE
)
"""Names whose value is a secret; plural `tokens` are counts."""

_SECRET_TEXT = re.compile(
    r"(?P<key>tg[diklopsv]_)[\w-]+"  # our own keys, client secrets, sessions, invitations and links
    r"|(?P<webhook>whsec_)[\w+/=-]+"  # what webhooks are signed with
    r"|(?<![0-9A-Za-z])eyJ[\w-]{8,}[\w.=-]*"  # base64url of a JSON object: a JSON Web Token, whole or in part
    r"|(?P<scheme>\b(?i:bearer|basic)\s+)[\w.~+/=-]{16,}"  # the value of an Authorization header
    r"|(?P<url>://)[^\s/@\"']*@"  # user name and password of a URL
)

_MAX_DEPTH = 8


def mask(text: str) -> str:
    """Return the text with everything that looks like a credential replaced."""
    return _SECRET_TEXT.sub(_replacement, text)


def redact(value: Any, depth: int = _MAX_DEPTH) -> Any:
    """Return the value with everything under a secret's name replaced, in mappings and lists up to `depth` deep."""
    if depth == 0:
        return REDACTED
    if isinstance(value, Mapping):
        return {
            str(key): REDACTED if _SECRET_NAME.search(str(key)) else redact(item, depth - 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        if len(value) == 2 and isinstance(value[0], str | bytes) and _SECRET_NAME.search(_text(value[0])):
            return [_text(value[0]), REDACTED]  # a header
        return [redact(item, depth - 1) for item in value]
    return _text(value) if isinstance(value, bytes) else value


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _replacement(match: re.Match[str]) -> str:
    kept = match["key"] or match["webhook"] or match["scheme"] or match["url"] or ""
    return kept + REDACTED + ("@" if match["url"] else "")
