"""Audit lines that wait in Redis for the archiver."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from proxy.control.audit.line import DECODE, AuditLine
from proxy.control.audit.log import FIELD
from proxy.history.batch import Entry

UNREADABLE = "audit.unreadable"


def line_in(name: bytes, fields: dict[bytes, bytes]) -> tuple[int, int, AuditLine]:
    """Return time, order and line of an entry. What is no line is kept as a line that says so."""
    entry = Entry.parse(name)
    try:
        text = fields[FIELD.encode()]
        if b"\\u0000" in text:  # PostgreSQL has no such character
            return entry.ms, entry.seq, _unreadable(entry, fields)
        line = DECODE(text)
        line.texts  # noqa: B018 - raises for a private part that no reader could read
    except (msgspec.DecodeError, KeyError):
        line = _unreadable(entry, fields)
    return entry.ms, entry.seq, line


def _unreadable(entry: Entry, fields: Any) -> AuditLine:
    text = base64.b64encode(b" ".join(part for pair in fields.items() for part in pair)).decode()
    return AuditLine(
        id=f"unreadable-{entry}",
        actor_kind="system",
        actor="tollgate",
        action=UNREADABLE,
        target_kind="entry",
        target=str(entry),
        result="failed",
        private=msgspec.json.encode({"entry": text}).decode(),
    )
