"""Exports to a file: whole lines, whatever happens to exporter and file."""

import json
from pathlib import Path

import pytest

from proxy.reporting.export.formats import FORMATS, FormatName
from proxy.reporting.export.sinks import FileSink, Refused
from tests.reporting.exporter_run import NAMES, ExporterRun, many
from tests.reporting.ledger_fixture import RecordedUsage
from tests.store.servers import eventually


def lines(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


async def test_a_file_gets_lines(usage_records: RecordedUsage, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    written = await many(usage_records, 20)
    assert await ExporterRun(usage_records, FileSink(path, FORMATS[FormatName.LAGO], NAMES)).drain() == 20
    more = await many(usage_records, 5)
    assert (
        await ExporterRun(usage_records, FileSink(path, FORMATS[FormatName.CLOUDEVENTS], NAMES), batch=2).drain() == 5
    )
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(each.get("transaction_id") or each["id"] for each in found) == sorted(written + more)
    assert path.stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("torn", ['{"id":"torn', "x" * 200_000])
async def test_a_line_torn_by_a_kill_is_cut_off(usage_records: RecordedUsage, tmp_path: Path, torn: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"id":"whole"}\n' + torn)
    written = await many(usage_records, 5)
    await ExporterRun(usage_records, FileSink(path, FORMATS[FormatName.CLOUDEVENTS], NAMES)).drain()
    assert sorted(lines(path)) == sorted(["whole", *written])


@pytest.mark.ci
async def test_a_file_that_is_rotated_away_is_begun_anew(usage_records: RecordedUsage, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    async with ExporterRun(
        usage_records, FileSink(path, FORMATS[FormatName.CLOUDEVENTS], NAMES), patience=None
    ).following():
        first = await many(usage_records, 5)
        await eventually(lambda: len(lines(path)) == 5)
        path.rename(tmp_path / "old.jsonl")
        second = await many(usage_records, 5)
        await eventually(lambda: path.exists() and len(lines(path)) == 5)
    assert (sorted(lines(tmp_path / "old.jsonl")), sorted(lines(path))) == (sorted(first), sorted(second))


@pytest.mark.parametrize("path", ["/dev/null", "/nowhere/events.jsonl", "/"])
def test_what_is_no_file(path: str) -> None:
    with pytest.raises(Refused, match=path):
        FileSink(Path(path), FORMATS[FormatName.CLOUDEVENTS], NAMES)
