"""What the ledger reports of itself."""

from pathlib import Path
from typing import Protocol

from middlewares.ledger.model import Settlement
from middlewares.store import StoreRejected


class Observer(Protocol):
    """Metrics and logs implement it."""

    def admitted_locally(self) -> None:
        """A request was admitted by this worker's share alone."""

    def shadow_refusal(self, policy: str) -> None:
        """A limit in shadow mode would have refused a request."""

    def journaled(self) -> None:
        """A settlement went to local disk."""

    def replayed(self, records: int) -> None:
        """Records of the journal are in Redis now."""

    def rejected(self, folder: Path, settlement: Settlement, error: StoreRejected) -> None:
        """Redis refuses a settlement for good: it is to be kept in `folder` for a person to look at."""

    def lost(self, reason: str) -> None:
        """A settlement could be written neither to Redis nor to disk."""
