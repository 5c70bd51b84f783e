"""The value of `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header section 2.1). Pure."""

from __future__ import annotations

import re

from middlewares.exchange import Refusal

MAX_CHARACTERS = 255

_STRING = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\])*)"')
"""A string of RFC 9651 section 3.3.3."""
_TOKEN = re.compile(rb"[!#-~]+")
"""What clients send without quotes: visible characters other than quotes."""
_ESCAPED = re.compile(rb"\\(.)")


def key_of(value: bytes) -> bytes:
    """Return the key that a header's value names, quoted or bare. Raises `Refusal` (400)."""
    value = value.strip(b" \t")
    if string := _STRING.fullmatch(value):
        key = _ESCAPED.sub(rb"\1", string[1])
    elif _TOKEN.fullmatch(value):
        key = value
    else:
        raise _invalid()
    if not 1 <= len(key) <= MAX_CHARACTERS:
        raise _invalid()
    return key


def _invalid() -> Refusal:
    detail = (
        f'Idempotency-Key must be one string of 1 to {MAX_CHARACTERS} printable ASCII characters, such as "9f1c2e"; '
        "the quotes may be left out where it has no blank."
    )
    return Refusal(400, "idempotency_key_invalid", detail)
