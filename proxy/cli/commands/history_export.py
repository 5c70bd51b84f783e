"""What `tollgate history export` does: the file that it writes, complete or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from middlewares.durable_files import sync
from proxy.cli.output import Exit, bad_input, fail, new_path, report
from proxy.reporting.dates import BadDate, Days, parse_day

if TYPE_CHECKING:
    from proxy.history.store import History
    from proxy.reporting.event_files import EventWriter
    from proxy.reporting.stream import UnreadableEvent


class ArchiveFormat(StrEnum):
    """Formats of archived events."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


def span_of(first: str, end: str) -> tuple[int, int]:
    """Return the first Unix millisecond of the day `first`, and that of the day `end`, which is not wanted."""
    try:
        start, stop = parse_day(first), parse_day(end)
    except BadDate as error:
        bad_input(str(error))
    if start >= stop:
        bad_input(f"--to {stop} must be after --from {start}: it is the first day that is not exported")
    return Days(start, start).start_ms, Days(stop, stop).start_ms


def destination(form: ArchiveFormat, output: Path | None) -> Path | None:
    """Return the new file to write, None for standard output."""
    if form is ArchiveFormat.PARQUET:
        try:
            import_module("pyarrow.parquet")
        except ImportError:
            bad_input('--format parquet needs pyarrow: pip install "naap-tollgate[parquet]"')
        if output is None:
            bad_input("--format parquet needs a file: give --output FILE")
    if output is None:
        return None
    return new_path(output, "file")


async def write_events(
    history: History, form: ArchiveFormat, times: tuple[int, int], app: str | None, target: Path | None
) -> bool:
    """Write the events; return False if some could not be read, which are reported and left out."""
    from proxy.reporting.event_files import UnfitEvent, archived_pages  # noqa: PLC0415

    complete = True

    def unreadable(error: UnreadableEvent) -> None:
        nonlocal complete
        complete = False
        report(error)

    with opened(target) as out:
        writer = _writer(form, out)
        try:
            async with aclosing(archived_pages(history, times, app, unreadable)) as pages:
                async for page in pages:
                    writer.write(page)
            writer.close()
        except UnfitEvent as error:
            fail(str(error), Exit.FAILED)
    return complete


def _writer(form: ArchiveFormat, out: BinaryIO) -> EventWriter:
    from proxy.reporting.event_files import Csv, JsonLines  # noqa: PLC0415

    if form is ArchiveFormat.PARQUET:
        from proxy.reporting.parquet import Parquet  # noqa: PLC0415

        return Parquet(out)
    return Csv(out) if form is ArchiveFormat.CSV else JsonLines(out)


@contextmanager
def opened(target: Path | None) -> Iterator[BinaryIO]:
    """Yield what to write into; a file has its name only once it is complete, and is for its owner alone."""
    if target is None:
        yield sys.stdout.buffer
        return
    part = None
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as out:
            part = Path(out.name)
            yield cast("BinaryIO", out)
            out.flush()
            os.fsync(out.fileno())
        part.rename(target)
        sync(target.parent)
    except OSError as error:
        fail(f"{target} cannot be written: {error.strerror}", Exit.FAILED)
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
