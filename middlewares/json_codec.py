"""JSON coding that tolerates what peers send: any bytes from gateways, lone surrogates from clients."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder()


MAX_DEPTH = 100
"""Deepest nesting of what clients send. At 1,000 the interpreter gives up, be it in a reader or, later, in a writer."""

_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


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


def nested_too_deeply(text: bytes) -> bool:
    """Return True if lists and objects of `text` stand in one another deeper than `MAX_DEPTH`, be it valid or not."""
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in outside_strings(without_escapes(text)).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def without_escapes(text: bytes) -> bytes:
    """Return `text`, JSON, without the escapes that hide a quote: each quote that is left begins or ends a string."""
    return text.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in text else text


def outside_strings(text: bytes) -> bytes:
    """Return `text`, JSON `without_escapes`, without its strings."""
    return b"".join(text.split(b'"')[::2])
