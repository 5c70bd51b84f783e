"""What the ledger reports of itself."""

from pathlib import Path
from typing import Protocol

from middlewares.ledger.model import Settlement
from middlewares.store import StoreRejected


class Observer(Protocol):
    """Counts and logs, and nothing else: whatever a record needs to survive was done before it is called."""

    def admitted_locally(self) -> None:
        """A request was admitted by this worker's share alone."""

    def shadow_refusal(self, policy: str) -> None:
        """A limit in shadow mode would have refused a request."""

    def journaled(self) -> None:
        """A settlement was written to local disk."""

    def replayed(self, records: int) -> None:
        """Records of the journal are in Redis now."""

    def rejected(self, settlement: Settlement, error: StoreRejected, kept_in: Path) -> None:
        """Redis refuses a settlement for good: it was written to `kept_in` for a person to look at."""

    def lost(self, reason: str) -> None:
        """A settlement could be written neither to Redis nor to disk."""
