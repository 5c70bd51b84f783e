"""The chain of audit lines: each line's hash covers the line, its place, its time, and the hash before it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Self

from proxy.control.audit.line import AuditLine, private_digest, public_part

BEGINNING = "0" * 64
"""What the first line's hash follows."""


@dataclass(frozen=True, slots=True)
class ChainedLine:
    """A line in its place in the chain."""

    seq: int
    """Its number, from 1 without gaps."""
    time: int
    """When it was written, in Unix milliseconds by the clock of Redis."""
    entry_seq: int
    """Order among the lines of that millisecond."""
    line: AuditLine
    digest: str
    """Digest of the private part, which may have been erased."""
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """The last line of a chain."""

    seq: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the head in `<seq>:<hash>`. Raises `ValueError`."""
        seq, _, found = text.partition(":")
        if not seq.isdecimal() or len(found) != len(BEGINNING):
            raise ValueError("Expected <number of a line>:<64 hexadecimal digits>")
        return cls(int(seq), found.lower())

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


NOTHING = Head(0, BEGINNING)


def link(before: Head, time: int, entry_seq: int, line: AuditLine) -> ChainedLine:
    """Return the line that follows `before`."""
    digest = private_digest(line)
    linked = link_hash(before.hash, before.seq + 1, (time, entry_seq), line, digest)
    return ChainedLine(before.seq + 1, time, entry_seq, line, digest, linked)


def link_hash(before: str, seq: int, entry: tuple[int, int], line: AuditLine, digest: str) -> str:
    """Return the SHA-256 of the hash before and the canonical line, in hexadecimal digits."""
    covered = {"seq": seq, "time": entry[0], "entry_seq": entry[1], **public_part(line), "private": digest}
    canonical = json.dumps(covered, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(f"{before}\n{canonical}".encode()).hexdigest()
