"""Settlements that Redis refuses for good, kept on disk for a person to look at."""

from __future__ import annotations

import os
from pathlib import Path

from middlewares.ledger.model import Settlement
from middlewares.ledger.observer import Observer
from middlewares.ledger.settlement.journal import JournalRecord, frame
from middlewares.store import StoreRejected

FILE = "rejected"
"""Name of the file beside the journals; its lines are those of a journal, so `journal.read` reads them."""


class RejectedSettlements:
    """The file of rejected settlements in the folder of the journals."""

    def __init__(self, folder: Path, observer: Observer) -> None:
        self._folder = folder
        self._observer = observer

    def keep(self, settlement: Settlement, error: StoreRejected) -> None:
        """Write it down with fsync, then report it; where the disk fails, too, report it as lost."""
        try:
            path = self._append(JournalRecord(settlement=settlement))
        except OSError as failure:
            self._observer.lost(f"{settlement.hold.request_id}: {error}; {failure}")
        else:
            self._observer.rejected(settlement, error, path)

    def _append(self, record: JournalRecord) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / FILE
        with path.open("ab") as file:
            file.write(frame(record))
            file.flush()
            os.fsync(file.fileno())
        return path
