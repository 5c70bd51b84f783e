"""JSON coding that tolerates what peers send: any bytes from gateways, lone surrogates from clients."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder()


def to_json(value: Any) -> bytes:
    """Return `value` as UTF-8 JSON; text that is no valid Unicode (lone surrogates, from JSON escapes) is escaped."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value)).encode()


def decode(decoder: msgspec.json.Decoder[T], text: bytes | bytearray) -> T | None:
    """Return what `decoder` reads in `text`; None if it is no JSON, nested too deep, or of another shape."""
    try:
        return decoder.decode(text)
    except (ValueError, RecursionError):
        return None
