"""Finds keys and secrets in any bytes, by their prefix and checksum: offline, in one pass, in little memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from middlewares.auth.keys import is_sealed

CHUNK_BYTES = 1 << 20
LONGEST = 70
"""Bytes of the longest form."""

_PREFIX = re.compile(rb"tg[kos]_")
_FORM = re.compile(rb"tg(?:(?P<form>[ko])_(?P<id>[a-z2-7]{16})_|s_)[0-9A-Za-z]{49}")
_KINDS = {b"k": "API key", b"o": "operator key", None: "client secret"}


@dataclass(frozen=True, slots=True)
class Leak:
    """A key or secret that was found, less the secret."""

    kind: str
    line: int
    """Number of the line in which it begins, from 1."""
    id: str | None
    """Its public id; None for a client secret, which has none."""


def leaks_in(read: Callable[[int], bytes], chunk_bytes: int = CHUNK_BYTES) -> Iterator[Leak]:
    """Yield what is found in a stream that `read` returns so many bytes of, at its end none.

    One that is cut off by the end of a chunk is found with the next.
    """
    window, line, last = b"", 1, False
    while not last:
        chunk = read(chunk_bytes)
        last = not chunk
        window += chunk
        decided = len(window) if last else max(0, len(window) - LONGEST + 1)
        counted = 0
        for start in _PREFIX.finditer(window, 0, min(len(window), decided + 3)):
            found = _FORM.match(window, start.start())
            if found is not None and is_sealed(found[0]):
                line += window.count(b"\n", counted, start.start())
                counted = start.start()
                yield Leak(_KINDS[found["form"]], line, found["id"].decode() if found["id"] else None)
        line += window.count(b"\n", counted, decided)
        window = window[decided:]
