"""Request bodies as the gateway's Go decoders read them. A ValueError is what the routes turn into 400."""

import json
import re
from collections.abc import Mapping
from typing import Any

_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)
_NAME = re.compile(rb'\bname="([^"]*)"', re.IGNORECASE)
_NUMBER = {int: (int,), float: (int, float)}


def _refuse(constant: str) -> float:
    raise ValueError(f"invalid JSON: {constant}")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def decode_json(body: bytes, types: Mapping[str, type]) -> dict[str, Any]:
    """Return the known fields of a JSON object, in lower case; null is as absent.

    As Go's decoder does, this takes the first value and ignores what follows it, drops unknown fields, matches
    names in any case with the last one winning, and refuses a value of another type.
    """
    try:
        value, _ = _DECODER.raw_decode(body.decode().lstrip())
    except (ValueError, RecursionError) as error:
        raise ValueError("invalid JSON") from error
    if not isinstance(value, dict):
        raise ValueError("json: cannot unmarshal value into an object")
    known = {name.lower(): item for name, item in value.items() if item is not None and name.lower() in types}
    for name, item in known.items():
        kind = types[name]
        fits = isinstance(item, _NUMBER.get(kind, kind))
        if not fits or (kind is not bool and isinstance(item, bool)):
            raise ValueError(f"json: cannot unmarshal field {name} into {kind.__name__}")
    return known


def decode_multipart(content_type: str, body: bytes) -> dict[str, bytes]:
    """Return the parts of a multipart form by name; the first of a name wins. Raises ValueError."""
    boundary = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/") or boundary is None:
        raise ValueError("request Content-Type isn't multipart/form-data")
    mark = b"\r\n--" + boundary[1].encode("latin-1")
    parts = (b"\r\n" + body).split(mark)
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise ValueError("multipart: NextPart: EOF")
    form: dict[str, bytes] = {}
    for part in parts[1:-1]:
        head, separator, data = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not separator or name is None:
            raise ValueError("multipart: malformed part")
        form.setdefault(name[1].decode("latin-1"), data)
    return form
