"""A line that was removed, changed, inserted or moved shows, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, text

from proxy.control.audit.log import HEAD
from proxy.history.audit.chain import BEGINNING, Head
from proxy.history.audit.verify import verify
from proxy.history.store import HistoryUnavailable
from proxy.history.tables import AUDIT
from tests.history.audit.lines import verdict, written
from tests.history.fakes import Archive

pytestmark = pytest.mark.ci


TRIGGERS = ("tollgate_audit_kept", "tollgate_audit_private", "tollgate_audit_there")
LINES = "tollgate_audit"


class _Undone(Exception):
    """Takes what was found out of a transaction that is not committed."""

    def __init__(self, findings: tuple[str, ...]) -> None:
        self.findings = findings


def _tamper(connection: Connection, *statements: str) -> None:
    """Do what somebody can who owns the database."""
    for trigger in TRIGGERS:
        where = "" if connection.dialect.name == "sqlite" else f" ON {LINES}"
        connection.execute(text(f"DROP TRIGGER {trigger}{where}"))
    for statement in statements:
        assert connection.execute(text(statement)).rowcount, statement


async def findings_after(archive: Archive, *statements: str, known: Sequence[Head] = ()) -> tuple[str, ...]:
    """Return what a verification finds once somebody has tampered with the database, and undo that."""

    def work(connection: Connection) -> None:
        _tamper(connection, *statements)
        raise _Undone(verify(connection, known).findings)

    with pytest.raises(_Undone) as undone:
        await archive.history.write(work)
    return undone.value.findings


async def test_an_untouched_chain_is_clean(archive: Archive) -> None:
    assert (await verdict(archive)).head == Head(0, BEGINNING)
    await written(archive, 3)
    await written(archive, 2)
    found = await verdict(archive)
    assert (found.lines, found.findings, found.erased) == (5, (), 0)
    assert (await archive.client.get(HEAD)).decode() == str(found.head)


async def test_a_changed_line_shows(archive: Archive) -> None:
    """Hazard: a column that the hash does not cover."""
    await written(archive, 4)
    columns = [each for each in AUDIT.columns if each.name not in ("seq", "digest", "hash", "numbers")]
    assert len(columns) > 12
    for column in columns:
        value = "'7'" if column.type.python_type is str else "7"
        [finding] = await findings_after(archive, f"UPDATE {LINES} SET {column.name} = {value} WHERE seq = 3")
        assert "line 3 " in finding, column
    for value in ('{"number": 9}', '{"other": 0}', "{}"):
        [finding] = await findings_after(
            archive, f"UPDATE {LINES} SET numbers = '{value}' WHERE seq = 1".replace(":", "\\:")
        )
        assert "line 1 " in finding


TAMPERING = {
    "removed": ([f"DELETE FROM {LINES} WHERE seq = 2"], ["line 2 is missing", "line 3 was changed"]),
    "first": ([f"DELETE FROM {LINES} WHERE seq = 1"], ["line 1 is missing", "line 2 was changed"]),
    "last": (
        [f"DELETE FROM {LINES} WHERE seq = 4"],
        ["the chain ends with line 3, where the history has noted line 4"],
    ),
    "several": ([f"DELETE FROM {LINES} WHERE seq IN (2, 3)"], ["lines 2 to 3 are missing", "line 4 was changed"]),
    "moved up": (
        [f"DELETE FROM {LINES} WHERE seq = 2", f"UPDATE {LINES} SET seq = 2 WHERE seq = 3"],
        ["line 2 was changed", "line 3 is missing"],
    ),
    "swapped": (
        [f"UPDATE {LINES} SET seq = {new} WHERE seq = {old}" for old, new in ((2, 99), (3, 2), (99, 3))],
        ["line 2 was changed", "line 3 was changed", "line 4 was changed"],
    ),
    "rehashed": ([f"UPDATE {LINES} SET hash = digest WHERE seq = 2"], ["line 2 was changed", "line 3 was changed"]),
    "last rehashed": ([f"UPDATE {LINES} SET hash = digest WHERE seq = 4"], ["line 4 was changed", "the chain ends"]),
    "digest": (
        [f"UPDATE {LINES} SET digest = hash WHERE seq = 2"],
        ["the private part of line 2", "line 2 was changed"],
    ),
}


async def test_whatever_somebody_does_to_lines_shows(archive: Archive) -> None:
    await written(archive, 4)
    for name, (statements, expected) in TAMPERING.items():
        findings = await findings_after(archive, *statements)
        assert len(findings) == len(expected), (name, findings)
        for finding, begins in zip(findings, expected, strict=True):
            assert finding.startswith(begins), name
    assert (await verdict(archive)).findings == ()


async def test_an_inserted_line_shows(archive: Archive) -> None:
    await written(archive, 2)
    names = ", ".join(each.name for each in AUDIT.columns if each.name not in ("seq", "id"))
    copied = f"SELECT 3, 'other', {names} FROM {LINES} WHERE seq = 1"
    findings = await findings_after(archive, f"INSERT INTO {LINES} (seq, id, {names}) {copied}")
    assert [each[:14] for each in findings] == ["line 3 was cha", "the chain ends"]


async def test_a_chain_that_was_cut_and_made_anew_shows_by_a_head_noted_before(archive: Archive) -> None:
    """Hazard: whoever owns the database removes the last lines, and writes the head that fits."""
    await written(archive, 3)
    noted = (await verdict(archive)).head
    cut = f"UPDATE tollgate_audit_head SET seq = 2, hash = (SELECT hash FROM {LINES} WHERE seq = 2)"
    await archive.history.write(_tamper, f"DELETE FROM {LINES} WHERE seq = 3", cut)
    assert (await verdict(archive)).findings == ()
    found = await archive.history.read(verify, [noted, noted])
    assert found.findings == ("line 3, whose hash was noted, is missing",)
    await written(archive, 2)
    assert (await verdict(archive)).findings == ()
    found = await archive.history.read(verify, [noted])
    assert found.findings == ("line 3 is not the one whose hash was noted",)


async def test_the_database_refuses_changes(archive: Archive) -> None:
    await written(archive, 1)
    for statement in (
        f"DELETE FROM {LINES} WHERE seq = 1",
        f"UPDATE {LINES} SET actor = 'somebody' WHERE seq = 1",
        f"UPDATE {LINES} SET private = '[]' WHERE seq = 1",
    ):

        def change(connection: Connection, statement: str = statement) -> Any:
            connection.execute(text(statement))

        with pytest.raises(HistoryUnavailable, match="append-only"):
            await archive.history.write(change)
    assert (await verdict(archive)).findings == ()
