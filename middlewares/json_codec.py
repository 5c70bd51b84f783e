"""Lenient JSON: what gateways send may be anything, what clients send may be no Unicode."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder()


def to_json(value: Any) -> bytes:
    """`value` as UTF-8 JSON; text that is no Unicode (lone surrogates, as JSON escapes can spell) stays escaped."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value)).encode()


def decode(decoder: msgspec.json.Decoder[T], text: bytes | bytearray) -> T | None:
    """Return what `decoder` reads in `text`; None where it is no JSON, nested without end, or of another shape."""
    try:
        return decoder.decode(text)
    except (ValueError, RecursionError):
        return None
