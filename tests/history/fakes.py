"""An archiver beside streams that a test writes to, and an observer that remembers what happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
from ulid import ULID

from config.history import HistorySettings
from config.workloads import Unit, Workload
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import ENCODER, Event
from middlewares.ledger.settlement.settle_call import totals_of
from proxy.history import queries
from proxy.history.archive.archiver import Archiver
from proxy.history.batch import Sums, read
from proxy.history.reader import LedgerSources
from proxy.history.store import History
from proxy.history.totals.total import compact

TAGS = 4
NOW = HistorySettings(keep_in_redis_seconds=0)
"""Settings under which whatever is archived leaves Redis at once."""


class Reports:
    """What an archiver reports, in order; counters are added up."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, ...]] = []
        self.counts: Counter[str] = Counter()
        self.lags: tuple[float, float] = (0, 0)

    def unavailable(self, reason: str) -> None:
        self.lines.append(("unavailable", reason))

    def recovered(self) -> None:
        self.lines.append(("recovered",))

    def archived(self, added: int, repeated: int) -> None:
        self.counts["added"] += added
        self.counts["repeated"] += repeated

    def network_units_archived(self, units: Mapping[str, int]) -> None:
        self.counts.update(units)

    def audited(self, lines: int) -> None:
        self.counts["audited"] += lines

    def unreadable(self, stream: str, entry: str) -> None:
        self.lines.append(("unreadable", stream, entry))

    def trimmed(self, entries: int) -> None:
        self.counts["trimmed"] += entries

    def pruned(self, events: int) -> None:
        self.counts["pruned"] += events

    def rewound(self, stream: str) -> None:
        self.lines.append(("rewound", stream))

    def group_behind(self, stream: str, group: str) -> None:
        self.lines.append(("behind", stream, group))

    def group_expired(self, stream: str, group: str) -> None:
        self.lines.append(("expired", stream, group))

    def group_holds_pruning(self, stream: str, group: str) -> None:
        self.lines.append(("holds", stream, group))

    def totals_differ(self, app: str, day: str) -> None:
        self.lines.append(("differ", app, day))

    def lag(self, seconds: float, pinned_seconds: float) -> None:
        self.lags = seconds, pinned_seconds


class Archive:
    """Usage streams, a history, and ways to move events between them."""

    def __init__(self, client: Any, keys: RedisKeys, history: History) -> None:
        self.client = client
        self.keys = keys
        self.history = history
        self.reports = Reports()

    def archiver(self, settings: HistorySettings = NOW) -> Archiver:
        """Return another archiver, as a process that has just started has one."""
        return Archiver(self.client, self.keys, self.history, settings, self.reports)

    async def advance(self, settings: HistorySettings = NOW) -> bool:
        """Archive what the streams hold, as a process that starts, works and ends; return whether it could."""
        archiver = self.archiver(settings)
        done = await archiver.advance()
        await archiver.release()
        return done

    async def add(self, event: Event, amount: int = 0, *, wallet: str = "", gross: str = "", **fields: str) -> bytes:
        """Write an event as the ledger does: into its stream, its day's totals and its wallet; return its entry."""
        values: Any = {b"event": ENCODER.encode(event), b"amount": str(amount).encode(), **fields}
        if wallet:
            values[b"wallet"] = wallet.encode()
        if gross:
            values[b"gross"] = gross.encode()
        await self._count(event, amount, values, wallet)
        added: bytes = await self.client.xadd(self.stream(event.app), values)
        return added

    async def _count(self, event: Event, amount: int, values: dict[bytes, bytes], wallet: str) -> None:
        [each] = read(0, [(b"1-0", values)])
        sums = Sums()
        sums.add(each)
        head = totals_of(event.user, event.key, event.workload, event.model)
        for total, number in sums.totals.items():
            await self._increase(self.keys.usage(total.app, compact(total.day)), head + total.what, number)
        if wallet in ("app", "user"):
            key = self.keys.wallet(event.app, event.user if wallet == "user" else None)
            await self._increase(key, "granted" if event.type == "credit" else "spent", amount)

    async def _increase(self, key: str, field: str, number: int) -> None:
        await self.client.hset(key, field, str(int(await self.client.hget(key, field) or 0) + number))

    @property
    def sources(self) -> LedgerSources:
        """Return where events and totals are read from."""
        return LedgerSources(self.client, self.keys, self.history)

    def stream(self, app: str) -> str:
        """Return the stream of an app."""
        return self.keys.shared(self.keys.tag(app)).events

    def streams(self) -> list[str]:
        """Return all streams."""
        return [self.keys.shared(tag).events for tag in self.keys.tags]

    async def in_redis(self) -> list[str]:
        """Return the ids of the events in the streams."""
        found = []
        for stream in self.streams():
            for _, fields in await self.client.xrange(stream):
                found.append(msgspec.json.decode(fields[b"event"])["id"])
        return found

    async def in_history(self) -> list[str]:
        """Return the ids of the events in the history."""
        found = []
        for tag, cursor in (await self.history.read(queries.cursors)).items():
            entries = await self.history.read(queries.of_tag, tag, 0, cursor.seq, 10**6)
            found += [msgspec.json.decode(each.fields[b"event"])["id"] for each in entries]
        return found


def event(app: str = "app_one", **changes: Any) -> Event:
    """Return a usage event."""
    values: dict[str, Any] = {
        "id": str(ULID()),
        "time": 1_790_000_000_000,
        "started": 1_790_000_000_000,
        "app": app,
        "user": None,
        "key": None,
        "plan": "unlimited@1",
        "workload": Workload.LLM,
        "model": "m/one",
        "outcome": "complete",
        "units": {Unit.REQUESTS: 1, Unit.OUTPUT_TOKENS: 3},
        "status": 200,
        **changes,
    }
    return Event(**values)
