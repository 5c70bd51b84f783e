"""`tollgate history export`: archived events as files, exact, complete or not there at all."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from middlewares.ledger.settlement.event import iso
from proxy.history.queries import PAGE
from proxy.history.store import History
from proxy.reporting.event_files import Csv, UnfitEvent, archived_pages
from proxy.reporting.parquet import Parquet
from proxy.reporting.stream import RecordedEvent
from tests.cli.conftest import Done
from tests.history.fakes import Archive, event
from tests.reporting.command import Command

pytestmark = pytest.mark.ci


DAY = 86_400_000
START = 1_793_491_200_000
"""Begin of 2026-11-01 in UTC."""
FIRST, SECOND = "app_aaaaaaaaaaaaaaaa", "app_bbbbbbbbbbbbbbbb"
EXACT = 10**27 + 1


class Exporter:
    """Runs `tollgate history export` without Redis, which it does not need."""

    def __init__(self, folder: Path, history_url: str) -> None:
        self.command, self.url = Command(folder, "redis://127.0.0.1:1"), history_url

    async def __call__(self, *arguments: str, first: str = "2026-11-01", end: str = "2026-12-01") -> Done:
        return await self.command(
            *("history", "export", "--from", first, "--to", end, *arguments), TOLLGATE_HISTORY_URL=self.url
        )


@pytest.fixture
def export(tmp_path: Path, history_url: str) -> Exporter:
    return Exporter(tmp_path, history_url)


async def fill(archive: Archive) -> None:
    """Archive five events of two apps: one on either side of November, and three within it."""
    times = (START - 1, START, START + 30 * DAY - 1, START + 30 * DAY)
    for number, time in enumerate(times):
        await archive.add(event(FIRST, id=f"first-{number}", time=time, model="=1+1"), amount=EXACT + number)
    await archive.add(event(SECOND, id="second", time=START + DAY, user="-2+3", network_units=7), amount=-EXACT)
    assert await archive.advance()


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return [each.name for each in folder.iterdir()]


def ids(done: Done) -> list[str]:
    assert done.code == 0, done.err
    return [json.loads(line)["id"] for line in done.out.splitlines()]


@pytest.mark.slow
async def test_the_first_millisecond_is_in_and_that_of_the_last_day_is_not(archive: Archive, export: Exporter) -> None:
    await fill(archive)
    assert ids(await export("--format", "jsonl")) == ["first-1", "first-2", "second"]
    assert ids(await export("--format", "jsonl", end="2026-12-02")) == ["first-1", "first-2", "first-3", "second"]
    assert ids(await export("--format", "jsonl", "--app", SECOND)) == ["second"]
    assert ids(await export("--format", "jsonl", first="2026-11-03", end="2026-11-04")) == []


async def test_csv_keeps_amounts_exact_and_disarms_formulas(archive: Archive, export: Exporter, tmp_path: Path) -> None:
    await fill(archive)
    target = tmp_path / "events.csv"
    done = await export("--format", "csv", "--output", str(target))
    assert (done.code, done.out, done.err) == (0, "", "")
    rows = list(csv.DictReader(io.StringIO(target.read_text(), newline="")))
    assert [row["amount"] for row in rows] == [str(EXACT + 1), str(EXACT + 2), str(-EXACT)]
    assert [row["model"] for row in rows] == ["'=1+1", "'=1+1", "m/one"]
    assert [row["user"] for row in rows] == ["", "", "'-2+3"]
    assert rows[0]["time"] == iso(START)
    assert (rows[0]["units.output_tokens"], rows[0]["units.pixels"], rows[0]["attention"]) == ("3", "", "false")
    assert target.stat().st_mode & 0o077 == 0
    assert (await export("--format", "csv")).out.splitlines() == target.read_text().splitlines()


async def test_parquet_holds_what_the_lines_of_json_hold(archive: Archive, export: Exporter, tmp_path: Path) -> None:
    await fill(archive)
    target = tmp_path / "events.parquet"
    assert (await export("--format", "parquet", "--output", str(target))).code == 0
    expected = [json.loads(line) for line in (await export("--format", "jsonl")).out.splitlines()]
    table = pq.read_table(target)
    assert str(table.schema.field("amount").type) == "decimal128(38, 0)"
    found = table.to_pylist()
    assert [row["amount"] for row in found] == [Decimal(row["amount"]) for row in expected]
    for row in found:
        for name in ("time", "started"):
            row[name] = iso(round(row[name].timestamp() * 1000))
        row |= {"units": dict(row["units"]), "provenance": dict(row["provenance"]), "amount": str(row["amount"])}
    assert found == expected


async def test_an_entry_that_is_no_event_is_reported_and_left_out(archive: Archive, export: Exporter) -> None:
    broken = b'{"app":"%s","id":' % FIRST.encode()
    entry = await archive.client.xadd(archive.stream(FIRST), {b"event": broken, b"amount": b"1"}, id=f"{START + 5}-0")
    await fill(archive)
    done = await export("--format", "jsonl")
    assert done.code == 1
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == ["first-1", "first-2", "second"]
    assert done.err.startswith(f"tollgate: entry {entry.decode()} of the history ")
    assert len(done.err.splitlines()) == 1


@pytest.mark.slow
async def test_pages_end_and_begin_within_one_millisecond(archive: Archive, history: History) -> None:
    written = [f"event-{number:05}" for number in range(2 * PAGE + 1)]
    for each in written:
        await archive.add(event(FIRST, id=each, time=START))
    assert await archive.advance()
    pages = [page async for page in archived_pages(history, (START, START + 1), None, _impossible)]
    assert [each.event.id for page in pages for each in page] == written
    assert max(map(len, pages)) == PAGE


def _impossible(error: Exception) -> None:
    raise error


class Nowhere(io.RawIOBase):
    """A file that keeps nothing."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return len(bytes(data))  # type: ignore[call-overload]


@pytest.mark.parametrize("kind", [Csv, Parquet])
def test_writers_keep_a_bounded_part_in_memory(kind: type[Csv] | type[Parquet]) -> None:
    writer, page = kind(io.BufferedWriter(Nowhere())), [RecordedEvent(event(FIRST, id="one"), "1")] * PAGE

    def held() -> int:
        for _ in range(10):  # one row group
            writer.write(page)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = held()
        assert held() - before < 1_000_000
    finally:
        tracemalloc.stop()


def test_an_amount_of_more_than_38_digits_is_no_parquet() -> None:
    writer = Parquet(io.BytesIO())
    writer.write([RecordedEvent(event(FIRST), str(10**38))])
    with pytest.raises(UnfitEvent, match="does not fit"):
        writer.close()


async def test_bad_input_is_one_line_and_leaves_no_file(tmp_path: Path) -> None:
    export, taken = Exporter(tmp_path, f"sqlite:///{tmp_path}/history.sqlite"), tmp_path / "taken"
    taken.write_text("mine")
    for arguments, message in (
        (("--format", "csv", "--output", str(taken)), "exists already"),
        (("--format", "csv", "--output", str(tmp_path / "no" / "file")), "is no folder"),
        (("--format", "parquet"), "give --output FILE"),
        (("--format", "csv", "--app", "acme"), "no client id"),
        (("--format", "csv", "--to", "2026-11-01"), "must be after --from"),
        (("--format", "csv", "--to", "November"), "not a day"),
    ):
        done = await export(*arguments)
        assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1), done.err
        assert message in done.err
    assert names(tmp_path) == ["taken"]
    assert taken.read_text() == "mine"


async def test_without_pyarrow_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError")  # found first by a command in this folder
    export = Exporter(tmp_path, f"sqlite:///{tmp_path}/history.sqlite")
    done = await export("--format", "parquet", "--output", str(tmp_path / "events.parquet"))
    assert (done.code, done.out) == (2, "")
    assert done.err == 'tollgate: --format parquet needs pyarrow: pip install "naap-tollgate[parquet]"\n'


async def test_a_history_that_is_away_leaves_no_file(tmp_path: Path) -> None:
    export = Exporter(tmp_path, f"postgresql://tollgate@/postgres?host={tmp_path}")
    done = await export("--format", "jsonl", "--output", str(tmp_path / "events.jsonl"))
    assert (done.code, len(done.err.splitlines())) == (3, 1)
    assert names(tmp_path) == []
