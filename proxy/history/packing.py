"""Fields of a stream entry as text, exactly, whatever bytes they are."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import msgspec

Fields = Mapping[bytes, bytes]
"""Fields of one entry of a usage stream."""
StreamEntry = tuple[bytes, Fields]
"""Id and fields of an entry, as the stream has or had it."""


def packed(fields: Fields) -> str:
    """Return the text of the column `fields`."""
    coded = {base64.b64encode(name).decode(): base64.b64encode(value).decode() for name, value in fields.items()}
    return msgspec.json.encode(coded).decode()


def unpacked(text: str) -> dict[bytes, bytes]:
    """Return the fields that stand in the column `fields`."""
    coded = msgspec.json.decode(text, type=dict[str, str])
    return {base64.b64decode(name): base64.b64decode(value) for name, value in coded.items()}
