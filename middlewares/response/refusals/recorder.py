"""Records refusals beside the request path: bounded in rate and number, and written together, some at a time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files

from config.explain import Explain
from middlewares.exchange import CredentialOwner, Exchange, Refusal
from middlewares.json_codec import to_json
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.response.refusals.record import RefusalRecord, owner_of, record_of, rule_of
from middlewares.store import Argument, Call, Script, ScriptRunner, StoreError

RECORD = Script("record_refusals", (files(__package__) / "lua" / "record.lua").read_bytes())
FLUSH_SECONDS = 0.1
"""How long a refusal waits for others to be written with."""
WAITING = 5_000
"""Most records that wait to be written, of all apps together."""
BUCKETS = 10_000
"""Most rules of apps whose rate is remembered; beyond that all begin anew."""
STORE_SECONDS = 2.0

AppAndRule = tuple[str, str]


class RefusalRecorder:
    """Records the refusals of known apps. `note` returns at once; `run` writes.

    Of each rule of an app a burst is recorded in full and then so many a second; the rest is counted. What Redis does
    not take is dropped: a refusal is no money.
    """

    def __init__(
        self,
        runner: ScriptRunner,
        keys: RedisKeys,
        clock: RedisClock,
        settings: Explain,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runner = runner
        self._keys = keys
        self._clock = clock
        self._settings = settings
        self._monotonic = monotonic
        self._buckets: dict[AppAndRule, tuple[float, float]] = {}
        """Tokens that were left of a rule's bucket, and when that was."""
        self._records: list[RefusalRecord] = []
        self._unrecorded: Counter[AppAndRule] = Counter()
        self._noted = asyncio.Event()

    def note(self, exchange: Exchange, refusal: Refusal) -> None:
        """Record a refusal, or count it; nothing where nobody knows whose request it was."""
        owner = owner_of(exchange)
        if owner is None or not self._settings.burst:
            return
        rule = owner.app, rule_of(exchange, refusal)
        if len(self._records) < WAITING and self._takes(rule):
            self._add(exchange, refusal, owner)
        elif rule in self._unrecorded or len(self._unrecorded) < BUCKETS:
            self._unrecorded[rule] += 1
        self._noted.set()

    async def run(self) -> None:
        """Write what was noted, again and again, until cancelled."""
        while True:
            await self._noted.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what was noted: one call for each app."""
        self._noted.clear()
        records: defaultdict[str, list[bytes]] = defaultdict(list)
        counted: defaultdict[str, list[Argument]] = defaultdict(list)
        for record in self._records:
            records[record.app].append(to_json(record))
        for (app, rule), number in self._unrecorded.items():
            counted[app] += (rule, number)
        self._records.clear()
        self._unrecorded.clear()
        for app in records.keys() | counted.keys():
            with suppress(StoreError):
                await self._runner.run(self._call(app, records[app], counted[app]), deadline=STORE_SECONDS)

    def _add(self, exchange: Exchange, refusal: Refusal, owner: CredentialOwner) -> None:
        self._records.append(record_of(exchange, refusal, owner, self._clock.now_ms()))

    def _takes(self, rule: AppAndRule) -> bool:
        """Return True if the rule's bucket has a token, and take it."""
        now, burst = self._monotonic(), float(self._settings.burst)
        tokens, then = self._buckets.get(rule, (burst, now))
        tokens = min(burst, tokens + (now - then) * self._settings.per_second)
        if rule not in self._buckets and len(self._buckets) >= BUCKETS:
            self._buckets.clear()
        taken = tokens >= 1
        self._buckets[rule] = (tokens - taken, now)
        return taken

    def _call(self, app: str, records: list[bytes], counted: list[Argument]) -> Call:
        keys, settings = self._keys, self._settings
        names = keys.refusals(app), keys.shared(keys.tag(app)).refused, keys.unrecorded(app)
        head = app, settings.ring, settings.ring_seconds * 1000, len(counted) // 2
        return Call(RECORD, names, (*head, *counted, *records))
