"""JSON coding that tolerates what peers send: any bytes from gateways, lone surrogates from clients.

The gateway is a Go program, whose decoder (`encoding/json`) reads half of a surrogate pair, which JSON can spell and
Unicode does not have, as U+FFFD. What Tollgate reads in a body has to be what the gateway reads in it.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder()

MAX_LONE_SURROGATES = 1_000
"""A text with more of them is no JSON; replacing so many takes some milliseconds."""

_WHOLE_TEXT = re.compile(
    rb"(?:[^\\]++|\\(?!u[dD][89a-fA-F]).|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+", re.DOTALL
)
"""Matches up to the next lone surrogate: no escape before it costs a step of its own."""
_LONE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_REPLACEMENT = rb"\ufffd"


MAX_DEPTH = 100
"""Deepest nesting of what clients send. At 1,000 the interpreter gives up, be it in a reader or, later, in a writer."""

_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def to_json(value: Any) -> bytes:
    """Return `value` as UTF-8 JSON; text that is no valid Unicode (lone surrogates) is escaped."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value)).encode()


def decode_as_go(decoder: msgspec.json.Decoder[T], text: bytes | bytearray | str) -> T:
    """Return what `decoder` reads in `text`, lone surrogates as U+FFFD. Raises what the decoder raises."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        raw = text.encode() if isinstance(text, str) else bytes(text)
        whole = _without_lone_surrogates(raw)
        if whole == raw:
            raise
        return decoder.decode(whole)


def decode(decoder: msgspec.json.Decoder[T], text: bytes | bytearray) -> T | None:
    """Return what `decoder` reads in `text`; None if it is no JSON, nested too deep, or of another shape."""
    try:
        return decode_as_go(decoder, text)
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


def _without_lone_surrogates(text: bytes) -> bytes:
    if b"\\u" not in text:
        return text
    parts: list[bytes] = []
    start = 0
    while len(parts) < 2 * MAX_LONE_SURROGATES:
        whole = _WHOLE_TEXT.match(text, start)
        lone = whole and _LONE_SURROGATE.match(text, whole.end())
        if lone is None:
            break
        parts += (text[start : lone.start()], _REPLACEMENT)
        start = lone.end()
    return b"".join([*parts, text[start:]])
