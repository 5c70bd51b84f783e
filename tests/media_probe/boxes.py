"""Changes boxes of MP4 files (ISO/IEC 14496-12) whose `moov` box comes last, so that no offset moves."""

from __future__ import annotations

import struct


def replaced(body: bytes, path: tuple[str, ...], payload: bytes) -> bytes:
    """Return `body` with another payload in the box at `path`, in every box that matches."""
    parts, position = [], 0
    while position < len(body):
        size, name = struct.unpack_from(">I4s", body, position)
        assert size >= 8
        content = body[position + 8 : position + size]
        if name.decode("latin-1") == path[0]:
            content = replaced(content, path[1:], payload) if path[1:] else payload
        parts.append(struct.pack(">I4s", len(content) + 8, name) + content)
        position += size
    return b"".join(parts)


def edit_list(*edits: tuple[int, int]) -> bytes:
    """Return the payload of an `elst` box: durations in units of the movie, media times in units of the track."""
    entries = b"".join(struct.pack(">IiI", duration, start, 0x10000) for duration, start in edits)
    return struct.pack(">II", 0, len(edits)) + entries


def data_reference(target: str) -> bytes:
    """Return the payload of a `dref` box that points at a file by an alias record, as QuickTime writes it."""
    record = bytes(10) + bytes(1 + 27) + bytes(12) + bytes((len(target),)) + target.encode().ljust(63, b"\0")
    record += bytes(16) + struct.pack(">HH", 1, 1) + bytes(16)
    record += (
        struct.pack(">HH", 2, len(target)) + target.encode() + bytes(len(target) % 2) + struct.pack(">HH", 0xFFFF, 0)
    )
    return struct.pack(">III4sI", 0, 1, 12 + len(record), b"alis", 0) + record
