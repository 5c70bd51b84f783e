"""JSON for the wire and the log."""

from __future__ import annotations

import json
from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder()


def to_json(value: Any) -> bytes:
    """`value` as UTF-8 JSON; text that is no Unicode (lone surrogates, as JSON escapes can spell) stays escaped."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value)).encode()
