"""Verifies the chain of the audit log: a line that was removed, changed, inserted or moved shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from proxy.control.audit.line import private_digest
from proxy.history.audit.chain import BEGINNING, ChainedLine, Head, link_hash
from proxy.history.audit.rows import chained_line, head
from proxy.history.tables import AUDIT

MOST_FINDINGS = 100
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """Outcome of a verification."""

    lines: int
    head: Head
    erased: int
    """Lines whose private part is gone."""
    findings: tuple[str, ...]
    """What is wrong, at most `MOST_FINDINGS`; empty: nothing."""


def verify(connection: Connection, known: Sequence[Head] = ()) -> AuditVerdict:
    """Recompute the chain; `known` are heads that were noted elsewhere before, which must be lines of it."""
    current = head(connection)
    wanted = sorted({(each.seq, each.hash) for each in known if each.seq})
    findings: list[str] = []
    lines = erased = expected = 0
    before = BEGINNING
    for each in _lines(connection):
        lines += 1
        expected += 1
        erased += not each.line.private
        if each.seq != expected:
            missing = f"line {expected} is" if each.seq == expected + 1 else f"lines {expected} to {each.seq - 1} are"
            findings.append(f"{missing} missing")
            expected = each.seq
        findings += _of_line(each, before)
        while wanted and wanted[0][0] <= each.seq:
            if wanted.pop(0) != (each.seq, each.hash):
                findings.append(f"line {each.seq} is not the one whose hash was noted")
        before = each.hash
    if (expected, before) != (current.seq, current.hash):
        findings.append(f"the chain ends with line {expected}, where the history has noted line {current.seq}")
    findings += [f"line {seq}, whose hash was noted, is missing" for seq, _ in wanted]
    return AuditVerdict(lines, current, erased, tuple(findings[:MOST_FINDINGS]))


def _of_line(each: ChainedLine, before: str) -> Iterator[str]:
    if each.line.private and private_digest(each.line) != each.digest:
        yield f"the private part of line {each.seq} was changed"
    if link_hash(before, each.seq, (each.time, each.entry_seq), each.line, each.digest) != each.hash:
        yield f"line {each.seq} was changed, or does not follow the line before it"


def _lines(connection: Connection) -> Iterator[ChainedLine]:
    after = 0
    while True:
        rows = connection.execute(select(AUDIT).where(AUDIT.c.seq > after).order_by(AUDIT.c.seq).limit(_PAGE)).all()
        for row in rows:
            yield chained_line(row)
        if len(rows) < _PAGE:
            return
        after = rows[-1].seq
