"""What an archiver reports of itself; `proxy.server.background.history_metrics` makes metrics and log lines of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class HistoryObserver(Protocol):
    """Receives what happens, once for each change."""

    def unavailable(self, reason: str) -> None:
        """The history cannot be used; events stay in Redis."""
        ...

    def recovered(self) -> None:
        """The history can be used again."""
        ...

    def archived(self, added: int, repeated: int) -> None:
        """A batch is in the history; `repeated` of its events were there before."""
        ...

    def network_units_archived(self, units: Mapping[str, int]) -> None:
        """The events that were added have these network units, by workload."""
        ...

    def audited(self, lines: int) -> None:
        """Audit lines were added to the history."""
        ...

    def unreadable(self, stream: str, entry: str) -> None:
        """An entry is no usage event; it is kept as it is."""
        ...

    def trimmed(self, entries: int) -> None:
        """Entries were trimmed from a stream."""
        ...

    def pruned(self, events: int) -> None:
        """Events that were kept for long enough were deleted from the history."""
        ...

    def rewound(self, stream: str) -> None:
        """A stream is one of another server, and is compared with the history from its beginning."""
        ...

    def group_behind(self, stream: str, group: str) -> None:
        """An export group holds up trimming."""
        ...

    def group_expired(self, stream: str, group: str) -> None:
        """An export group that nobody reads any more was removed from Redis."""
        ...

    def group_holds_pruning(self, stream: str, group: str) -> None:
        """An export group has not got events that are old enough to be pruned."""
        ...

    def totals_differ(self, app: str, day: str) -> None:
        """Running totals of a day in Redis were not those of its events; the history has the larger ones."""
        ...

    def lag(self, seconds: float, pinned_seconds: float) -> None:
        """Report the age of the oldest event or audit line not archived, and of the oldest that only a group keeps."""
        ...


class Unobserved(HistoryObserver):
    """Receives everything and reports nothing."""
