"""Verifies the running totals against the streams of events, while requests go on.

Compared are the usage of each day; wallets; the counts of caps and allowances; and what caps and wallets reserve for
open holds. Each event must be in its stream once, each open hold must have an expiry. Not compared are caps and
allowances in a period in which events of an unknown plan version may have counted (the limits of old versions are not
kept), and sliding windows and leases, which expire.

A total that is read a moment after its events differs under traffic, so what differs is read again in one script
together with its events and holds. Memory grows with the number of totals, and for the time that one
stream is read with eight bytes for each of its events.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from redis.asyncio import Redis, RedisCluster

from config.plans import Plan
from middlewares.ledger.redis_keys import PREFIX, RedisKeys
from middlewares.ledger.scripts import MOMENT
from middlewares.ledger.settlement.event import DECODER
from proxy.reporting.verify.expected_totals import Expected, TotalKey

CHUNK = 1_000
TOTALS = ("usage:", "wallet:", "cap:", "included:", "allowance:")
_NEVER_EXPIRES = """
return redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 and not redis.call('ZSCORE', KEYS[2], ARGV[1]) and 1 or 0
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """A value in Redis that differs from what events and open holds give."""

    what: str
    """`usage`, `wallet`, `cap`, `included`, `allowance`; `event` (its copies) or `hold` (its expiry)."""
    where: str
    """Redis key, a space, and the field, event or request id."""
    expected: int
    found: int


@dataclass(slots=True)
class Counts:
    """Number of events, holds and totals that were read."""

    events: int = 0
    holds: int = 0
    totals: int = 0
    """Totals that were compared."""
    unknown: int = 0
    """Totals that were not compared, as the plan version is unknown."""


async def verify(
    client: Redis | RedisCluster, keys: RedisKeys, plans: Mapping[str, Plan]
) -> tuple[list[Difference], Counts]:
    """Return differences, sorted by place, and how much was compared; `plans` are those in force now, by name.

    Raises the errors of `client`, and `msgspec.DecodeError` if an entry of a stream is no event.
    """
    return await _Verification(client, keys, plans).run()


class _Verification:
    def __init__(self, client: Redis | RedisCluster, keys: RedisKeys, plans: Mapping[str, Plan]) -> None:
        self._client: Any = client  # redis-py's annotations cover RESP3 and decoded replies, too
        self._keys = keys
        self._plans = plans
        self._expected = Expected(keys, plans)
        self._position = dict.fromkeys(keys.tags, "-")
        self._counts = Counts()
        self._differences: list[Difference] = []

    async def run(self) -> tuple[list[Difference], Counts]:
        for tag in self._keys.tags:
            await self._events_of(tag)
            await self._holds_of(tag)
        for prefix, totals in _by_prefix(await self._suspects()).items():
            tags = (prefix,) if prefix in self._position else self._keys.tags
            for start in range(0, len(totals), CHUNK):
                await self._compare_at_one_moment(tags, totals[start : start + CHUNK])
        return sorted(self._differences, key=lambda each: each.where), self._counts

    async def _events_of(self, tag: str) -> None:
        stream = self._keys.shared(tag).events
        seen = array("q")
        while chunk := await self._client.xrange(stream, self._position[tag], count=CHUNK):
            seen.extend(map(hash, self._count(tag, chunk)))
        ordered = sorted(seen)
        if repeated := {one for one, next_one in pairwise(ordered) if one == next_one}:
            await self._name_copies(stream, self._position[tag], repeated)

    def _count(self, tag: str, entries: Sequence[Any]) -> list[str]:
        """Count new events, and return their ids."""
        found = []
        for entry, fields in entries:
            event, amount = DECODER.decode(fields[b"event"]), int(fields[b"amount"])
            gross = int(fields.get(b"gross", amount))
            self._expected.event(event, amount, fields.get(b"wallet", b"").decode(), gross)
            self._position[tag] = f"({entry.decode()}"
            found.append(event.id)
        self._counts.events += len(found)
        return found

    async def _name_copies(self, stream: str, end: str, hashes: set[int]) -> None:
        copies: defaultdict[str, int] = defaultdict(int)
        start = "-"
        while chunk := await self._client.xrange(stream, start, end.lstrip("("), count=CHUNK):
            for entry, fields in chunk:
                identity = DECODER.decode(fields[b"event"]).id
                if hash(identity) in hashes:
                    copies[identity] += 1
                start = f"({entry.decode()}"
        self._differences += [
            Difference("event", f"{stream} {identity}", 1, count) for identity, count in copies.items() if count > 1
        ]

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
        unknown = [total for total in suspects if self._expected.unknown(total)]
        self._counts.unknown = len(unknown)
        self._counts.totals -= len(unknown)
        return sorted(set(suspects).difference(unknown))

    async def _found(self) -> AsyncIterator[tuple[TotalKey, int]]:
        async for name in self._client.scan_iter(match=f"{PREFIX}{{*", count=CHUNK):
            key = name.decode()
            if key.partition("}:")[2].startswith(TOTALS):
                async for field, number in self._client.hscan_iter(name, count=CHUNK):
                    yield (key, field.decode()), int(number)

    async def _compare_at_one_moment(self, tags: Sequence[str], totals: Sequence[TotalKey]) -> None:
        """Compare totals with the streams and open holds of the same moment."""
        streams = [self._keys.shared(tag).events for tag in tags]
        bodies = [self._keys.shared(tag).bodies for tag in tags]
        names = [*streams, *bodies, *(key for key, _ in totals)]
        fields = [field for _, field in totals]
        behind = True
        while behind:
            arguments = [len(tags), CHUNK, *(self._position[tag] for tag in tags), *fields]
            events, held, numbers = await self._client.eval(MOMENT.source, len(names), *names, *arguments)
            for tag, entries in zip(tags, events, strict=True):
                self._count(tag, [(entry, _pairs(flat)) for entry, flat in entries])
            behind = any(len(entries) == CHUNK for entries in events)
        reserved = Expected(self._keys, self._plans)
        for flat in held:
            reserved.holds(_pairs(flat))
        for total, number in zip(totals, map(int, numbers), strict=True):
            expected = (reserved if total[1] == "held" else self._expected).totals[total]
            if number != expected and not self._expected.unknown(total):
                what = total[0].partition("}:")[2].partition(":")[0]
                self._differences.append(Difference(what, " ".join(total), expected, number))


def _pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _by_prefix(totals: Iterable[TotalKey]) -> dict[str, list[TotalKey]]:
    found: defaultdict[str, list[TotalKey]] = defaultdict(list)
    for key, field in totals:
        found[key.partition("}:")[0] + "}:"].append((key, field))
    return found
