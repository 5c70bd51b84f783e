"""Verifies the running totals against all events, of history and streams, while requests go on.

Compared are the usage of each day; wallets; the counts of caps and allowances; and what caps and wallets reserve for
open holds. Each event must be in its stream once, each open hold must have an expiry. Not compared are caps and
allowances in a period in which events of an unknown plan version may have counted (the limits of old versions are not
kept), usage, caps and allowances of months that were pruned (wallets are, by the sums that stay), and sliding windows
and leases, which expire.

A total that is read a moment after its events differs under traffic, so what differs is read again in one script
together with its events and holds. Memory grows with the number of totals and of events that are not archived yet.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection

from config.plans import Plan
from middlewares.ledger.redis_keys import PREFIX
from middlewares.ledger.scripts import SNAPSHOT
from proxy.control.records import FAMILIES
from proxy.history.batch import Entry, Sums, read
from proxy.history.packing import StreamEntry
from proxy.history.reader import LedgerEntries, LedgerSources
from proxy.history.totals.total import Total
from proxy.reporting.stream import decode
from proxy.reporting.verify.closed_days import ClosedDays
from proxy.reporting.verify.difference import Difference
from proxy.reporting.verify.expected_totals import Expected, TotalKey
from proxy.reporting.verify.pruned_months import PrunedMonths, PrunedWallets

CHUNK = 1_000
LOTS = (b"lots", b"hold:")
"""Beginnings of the fields of a wallet that are no totals."""
TOTALS = ("usage:", "wallet:", "cap:", "included:", "allowance:")
_NEVER_EXPIRES = """
return redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 and not redis.call('ZSCORE', KEYS[2], ARGV[1]) and 1 or 0
"""


@dataclass(slots=True)
class Counts:
    """Number of events, holds and totals that were read."""

    events: int = 0
    holds: int = 0
    totals: int = 0
    """Totals that were compared."""
    unknown: int = 0
    """Totals that were not compared, as the plan version is unknown."""
    pruned: int = 0
    """Totals of pruned months, which no events explain any more."""
    kept_from: str = ""
    """First day of which every hash tag has all events; empty: nothing was pruned."""


async def verify(sources: LedgerSources, plans: Mapping[str, Plan]) -> tuple[list[Difference], Counts]:
    """Return differences, sorted by place, and how much was compared; `plans` are those in force now, by name.

    Raises `HistoryUnavailable`, the errors of the client, and `UnreadableEvent` if an entry of a stream is no event.
    """
    while True:
        verification = _Verification(sources, plans)
        found = await verification.run()
        if not await verification.pruned.moved():
            return found


class _Verification:
    def __init__(self, sources: LedgerSources, plans: Mapping[str, Plan]) -> None:
        self._client: Any = sources.client  # redis-py's annotations cover RESP3 and decoded replies, too
        self._history = sources.history
        self._keys = sources.keys
        self._plans = plans
        self._expected = Expected(self._keys, plans)
        self._entries = {tag: LedgerEntries(sources, tag) for tag in self._keys.tags}
        self._closed = ClosedDays(sources)
        self.pruned = PrunedMonths(sources)
        """Months of which no events are left; if that changes meanwhile, everything is read again."""
        self._counts = Counts()
        self._differences: list[Difference] = []

    async def run(self) -> tuple[list[Difference], Counts]:
        for tag in self._keys.tags:
            await self._events_of(tag)
            await self._holds_of(tag)
        self._closed.take_from(self._expected.totals)
        for prefix, totals in _by_prefix(await self._suspects()).items():
            tags = (prefix,) if prefix in self._entries else self._keys.tags
            for start in range(0, len(totals), CHUNK):
                await self._compare_at_one_moment(tags, totals[start : start + CHUNK])
        self._differences += self._closed.differences
        self._counts.totals += self._closed.compared
        self._counts.pruned, self._counts.kept_from = self._closed.pruned, self.pruned.kept_from
        return sorted(self._differences, key=lambda each: each.where), self._counts

    async def _events_of(self, tag: str) -> None:
        """Count archived events, compare the closed days with them, then count those of the stream."""
        entries = self._entries[tag]
        totals, kept = await entries.begin(partial(self._beside, tag=tag))
        self._expected.sums_of_wallets(kept)
        sums = Sums()
        await self._learn_families()
        async for entry in entries.archived():
            [each] = read(0, [entry])
            if each.event and each.event.time < entries.snapshot.pruned:
                continue  # the sums of wallets have it
            self._count(entries.stream, [entry])
            sums.add(each)
        self._closed.compare(tag, entries.snapshot, sums.totals, totals)
        await self._stream_of(tag)

    def _beside(self, connection: Connection, tag: str) -> tuple[dict[Total, int], PrunedWallets]:
        """Return the totals of closed days, and the sums of wallets before the months whose events are left."""
        return self._closed.totals(connection, tag), self.pruned.wallets(connection, tag)

    async def _stream_of(self, tag: str) -> None:
        """Count what was written since the last time; each event must be there once."""
        stream = self._entries[tag].stream
        seen: Counter[str] = Counter()
        await self._learn_families()  # written before the first event of a key that replaced another
        async for entry in self._entries[tag].streamed():
            seen.update(self._count(stream, [entry]))
        self._differences += [
            Difference("event", f"{stream} {identity}", 1, count) for identity, count in seen.items() if count > 1
        ]

    async def _learn_families(self) -> None:
        families = await self._client.hgetall(FAMILIES)
        self._expected.families = {key.decode(): family.decode() for key, family in families.items()}

    def _count(self, stream: str, entries: Iterable[StreamEntry]) -> list[str]:
        """Count new events, and return their ids."""
        found = []
        for entry, fields in entries:
            recorded = decode(stream, entry, fields)
            amount = int(recorded.amount)
            gross = int(fields.get(b"gross", amount))
            self._expected.event(recorded.event, amount, recorded.wallet, gross)
            found.append(recorded.event.id)
        self._counts.events += len(found)
        return found

    async def _holds_of(self, tag: str) -> None:
        shared = self._keys.shared(tag)
        bodies = {name: body async for name, body in self._client.hscan_iter(shared.bodies, count=CHUNK)}
        requests = self._expected.holds(bodies)
        self._counts.holds += len(requests)
        if not requests:
            return
        for request, expiry in zip(requests, await self._client.zmscore(shared.holds, requests), strict=True):
            check = _NEVER_EXPIRES, 2, shared.bodies, shared.holds, request
            if expiry is None and await self._client.eval(*check):
                self._differences.append(Difference("hold", f"{shared.holds} {request}", 1, 0))

    async def _suspects(self) -> list[TotalKey]:
        """Return totals that differ at first sight, and those that are missing."""
        missing = dict(self._expected.totals)
        suspects = []
        async for total, found in self._found():
            self._counts.totals += 1
            if missing.pop(total, 0) != found:
                suspects.append(total)
        missing = {total: number for total, number in missing.items() if number}
        self._counts.totals += len(missing)
        suspects += missing
        unknown = [total for total in suspects if self._unknown(total)]
        self._counts.unknown = len(unknown)
        self._counts.totals -= len(unknown)
        return sorted(set(suspects).difference(unknown))

    def _unknown(self, total: TotalKey) -> bool:
        return self._expected.unknown(total) or self.pruned.has(total)

    async def _found(self) -> AsyncIterator[tuple[TotalKey, int]]:
        async for name in self._client.scan_iter(match=f"{PREFIX}{{*", count=CHUNK):
            key = name.decode()
            if key.partition("}:")[2].startswith(TOTALS) and not self._closed.has(key):
                async for field, number in self._client.hscan_iter(name, count=CHUNK):
                    if not field.startswith(LOTS):
                        yield (key, field.decode()), int(number)

    async def _compare_at_one_moment(self, tags: Sequence[str], totals: Sequence[TotalKey]) -> None:
        """Compare totals with the streams and open holds of the same moment."""
        streams = [self._keys.shared(tag).events for tag in tags]
        bodies = [self._keys.shared(tag).bodies for tag in tags]
        names = [*streams, *bodies, *(key for key, _ in totals)]
        fields = [field for _, field in totals]
        while True:
            starts = [self._entries[tag].position.next for tag in tags]
            arguments = [len(tags), CHUNK, *starts, *fields]
            events, held, numbers = await self._client.eval(SNAPSHOT.source, len(names), *names, *arguments)
            complete = [await self._entries[tag].complete() for tag in tags]
            if all(complete) and not any(len(entries) == CHUNK for entries in events):
                break
            for tag in tags:
                await self._stream_of(tag)
        for tag, new in zip(tags, events, strict=True):
            self._count(self._entries[tag].stream, [(entry, _pairs(flat)) for entry, flat in new])
            if new:
                self._entries[tag].position = Entry.parse(new[-1][0])
        await self._closed.refresh(tags)
        reserved = Expected(self._keys, self._plans)
        for flat in held:
            reserved.holds(_pairs(flat))
        for total, number in zip(totals, map(int, numbers), strict=True):
            expected = (reserved if total[1] == "held" else self._expected).totals[total]
            if number != expected and not self._unknown(total) and not self._closed.has(total[0]):
                what = total[0].partition("}:")[2].partition(":")[0]
                self._differences.append(Difference(what, " ".join(total), expected, number))


def _pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _by_prefix(totals: Iterable[TotalKey]) -> dict[str, list[TotalKey]]:
    found: defaultdict[str, list[TotalKey]] = defaultdict(list)
    for key, field in totals:
        found[key.partition("}:")[0] + "}:"].append((key, field))
    return found
