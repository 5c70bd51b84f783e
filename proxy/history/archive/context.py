"""What everything that works on one hash tag needs."""

from __future__ import annotations

from dataclasses import dataclass

from config.history import HistorySettings
from middlewares.ledger.redis_keys import RedisKeys
from proxy.control.records import Client
from proxy.history.archive.observer import HistoryObserver
from proxy.history.store import History


@dataclass(frozen=True, slots=True)
class TagContext:
    """One hash tag, the places that its events move between, and who hears of it."""

    number: int
    """Number of the hash tag, by which the history knows it."""
    client: Client
    keys: RedisKeys
    history: History
    settings: HistorySettings
    observer: HistoryObserver

    @property
    def tag(self) -> str:
        """Return the prefix of every key of the tag."""
        return self.keys.tags[self.number]

    @property
    def stream(self) -> str:
        """Return the key of the tag's usage stream."""
        return self.keys.shared(self.tag).events
