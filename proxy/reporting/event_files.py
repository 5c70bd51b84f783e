"""Writes the events of the history as CSV or as lines of JSON, a page at a time, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, BinaryIO, Protocol

from config.workloads import Unit
from middlewares.ledger.settlement.event import ENCODER, Event, plain
from proxy.history import queries
from proxy.history.reader import app_pages
from proxy.history.store import History
from proxy.reporting.stream import RecordedEvent, UnreadableEvent, decode
from proxy.reporting.tables import csv_rows

_BY_UNIT = ("units", "provenance")
_COLUMNS = tuple(name for name in (*Event.__struct_fields__, "amount") if name not in _BY_UNIT)
_UNIT_COLUMNS = tuple((name, unit) for name in _BY_UNIT for unit in Unit)


class UnfitEvent(Exception):
    """A number of an event is too large for the format."""


class EventWriter(Protocol):
    """Writes events in one format."""

    def write(self, page: Sequence[RecordedEvent]) -> None:
        """Write some events. Raises `UnfitEvent`."""

    def close(self) -> None:
        """Write what is left; the file under it stays open. Raises `UnfitEvent`."""


class JsonLines:
    """Writes one JSON object a line, the same as `tollgate events`."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, page: Sequence[RecordedEvent]) -> None:
        """Write some events."""
        self._out.writelines(ENCODER.encode(plain(each.event, each.amount)) + b"\n" for each in page)

    def close(self) -> None:
        """Write what is left."""
        self._out.flush()


class Csv:
    """Writes CSV (RFC 4180) with a header, one column for each unit; no cell can become a formula of a spreadsheet."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._out.write(csv_rows([[*_COLUMNS, *(f"{name}.{unit}" for name, unit in _UNIT_COLUMNS)]]).encode())

    def write(self, page: Sequence[RecordedEvent]) -> None:
        """Write some events."""
        self._out.write(csv_rows(_cells(plain(each.event, each.amount)) for each in page).encode())

    def close(self) -> None:
        """Write what is left."""
        self._out.flush()


async def archived_pages(
    history: History, times: tuple[int, int], app: str | None, unreadable: Callable[[UnreadableEvent], None]
) -> AsyncGenerator[list[RecordedEvent], None]:
    """Yield the events that the history has, of one app or of each in turn, by time.

    `times` are the first Unix millisecond and the first that is not wanted any more. Events that are archived
    meanwhile are left out; `unreadable` is called for each entry that is no event.
    """
    up_to = await history.read(queries.last_seq)
    name = app if app is not None else await history.read(queries.next_app)
    while name is not None:
        async for page in app_pages(history, name, times, (0, up_to)):
            yield _readable(page, unreadable)
        name = None if app is not None else await history.read(queries.next_app, name)


def _readable(
    page: Sequence[queries.ArchivedEntry], unreadable: Callable[[UnreadableEvent], None]
) -> list[RecordedEvent]:
    found = []
    for each in page:
        try:
            found.append(decode("the history", str(each.entry).encode(), each.fields))
        except UnreadableEvent as error:
            unreadable(error)
    return found


def _cells(event: dict[str, Any]) -> list[str | int]:
    return [_cell(event[name]) for name in _COLUMNS] + [_cell(event[name].get(unit)) for name, unit in _UNIT_COLUMNS]


def _cell(value: str | int | None) -> str | int:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value
