"""Writes events as Parquet, by pyarrow, which is installed only where it is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from middlewares.ledger.settlement.event import Event
from proxy.reporting.event_files import UnfitEvent
from proxy.reporting.stream import RecordedEvent

_ROWS = 10_000
"""Rows of a row group, which is held in memory until it is written."""

_TIME = pa.timestamp("ms", tz="UTC")
_AMOUNT = pa.decimal128(38, 0)
"""Whole atomic units, exact to 38 digits."""

_TYPES: dict[str, Any] = {
    "time": _TIME,
    "started": _TIME,
    "units": pa.map_(pa.string(), pa.int64()),
    "provenance": pa.map_(pa.string(), pa.string()),
    "attention": pa.bool_(),
    "amount": _AMOUNT,
    **dict.fromkeys(("network_units", "duration_ms", "upstream_ms", "bytes_in", "bytes_out"), pa.int64()),
    **dict.fromkeys(("status", "gateway_status", "part"), pa.int64()),
}
"""Types of the columns that are not text."""

_COLUMNS = (*Event.__struct_fields__, "amount")
SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in _COLUMNS])


class Parquet:
    """Writes one Parquet file, in row groups of 10,000 events."""

    def __init__(self, out: BinaryIO) -> None:
        self._writer = pq.ParquetWriter(out, SCHEMA)
        self._rows: list[dict[str, Any]] = []

    def write(self, page: Sequence[RecordedEvent]) -> None:
        """Write some events. Raises `UnfitEvent`."""
        self._rows += [_row(each) for each in page]
        if len(self._rows) >= _ROWS:
            self._write_group()

    def close(self) -> None:
        """Write what is left, and the end of the file. Raises `UnfitEvent`."""
        if self._rows:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        try:
            table = pa.Table.from_pylist(self._rows, SCHEMA)
        except (ValueError, OverflowError) as error:  # what pyarrow raises is a ValueError
            raise UnfitEvent(f"an event does not fit into the columns of Parquet: {error}") from None
        self._writer.write_table(table)
        self._rows = []


def _row(recorded: RecordedEvent) -> dict[str, Any]:
    values = {name: getattr(recorded.event, name) for name in Event.__struct_fields__}
    pairs = {name: list(values[name].items()) for name in ("units", "provenance")}
    return {**values, **pairs, "amount": Decimal(recorded.amount)}
