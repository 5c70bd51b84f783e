"""A worker's cache of verdicts on credentials."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from middlewares.auth.ports import CredentialJudge
from middlewares.auth.records import RecordRef
from middlewares.auth.verdict import Denial, Grant, Verdict
from middlewares.store import StoreError, StoreUnavailable

NEGATIVE_SECONDS = 5.0
"""Seconds that a denial is cached."""
NEGATIVE_ENTRIES = 10_000
"""Most denials in the cache."""
RETRY_SECONDS = 1.0
"""Seconds after a failure of the store in which credentials in their grace period are not looked up again."""
_MAX_CHANGES = 10_000
_hash = hashlib.blake2b
"""As good as SHA-256 here and faster: most of the time of SHA-256 is setup in OpenSSL."""


@dataclass(slots=True)
class _Entry:
    verdict: Verdict
    fresh_until: float
    usable_until: float
    """End of the grace period in which the verdict holds while the store is unreachable."""
    version: int
    """Number of changes known when the verdict was looked up, or last compared with them."""


class CachedCredentials:
    """A `CredentialCache` around a judge: caches verdicts, joins simultaneous lookups, and bridges a lost store.

    Verdicts are kept by a hash of the credential, never under the credential itself. Grants and denials have
    separate space, so that a flood of bad keys evicts no good one. Times are seconds.
    """

    def __init__(
        self,
        source: CredentialJudge,
        *,
        seconds: float,
        entries: int,
        grace: float,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._seconds = seconds
        self._grace = grace
        self._clock = clock
        self._wall = wall
        self._grants: OrderedDict[bytes, _Entry] = OrderedDict()
        self._denials: OrderedDict[bytes, _Entry] = OrderedDict()
        self._most_grants = entries
        self._flights: dict[bytes, tuple[int, asyncio.Task[Verdict | StoreError]]] = {}
        self._changes: dict[RecordRef, int] = {}
        self._version = 0
        self._floor = 0
        """Verdicts older than this version may rest on a record whose change is no longer listed in `_changes`."""
        self._doubt = 0
        """Verdicts older than this version have to be looked up again, and hold while the store is unreachable."""
        self._retry_at = 0.0

    def cached(self, credential: bytes) -> Verdict | None:
        """Return the cached verdict; None if it has to be looked up."""
        return self._remembered(_hash(credential).digest())

    def _remembered(self, digest: bytes) -> Verdict | None:
        now = self._clock()
        entry = self._grants.get(digest)
        if entry is not None:
            if entry.version == self._version or self._holds(entry):
                if entry.fresh_until > now:
                    self._grants.move_to_end(digest)
                    return entry.verdict
                if now < min(entry.usable_until, self._retry_at):
                    return entry.verdict
            else:
                del self._grants[digest]
        else:
            denied = self._denials.get(digest)
            if denied is not None and self._holds(denied) and denied.fresh_until > now:
                return denied.verdict
        return None

    async def judge(self, credential: bytes) -> Verdict:
        """Return the verdict, from the cache or the source. Raises `StoreError`."""
        digest = _hash(credential).digest()
        verdict = self._remembered(digest)
        if verdict is None:
            verdict = await self._look_up_once(digest, credential, self._grants.get(digest))
        return verdict

    def invalidate(self, ref: RecordRef) -> None:
        """Forget every verdict that rests on a record that has changed, also while the store is unreachable."""
        self._version += 1
        self._changes[ref] = self._version
        if len(self._changes) > _MAX_CHANGES:
            self._changes.clear()
            self._floor = self._version

    def invalidate_all(self) -> None:
        """Look up every verdict again, as any record may have changed; known keys keep their grace period."""
        self._version += 1
        self._doubt = self._version

    def _holds(self, entry: _Entry) -> bool:
        """Return True if no later change touches the entry; when in doubt it is no longer fresh."""
        if entry.version < self._version:
            if entry.version < self._floor:
                return False
            for ref in entry.verdict.rests_on:
                if self._changes.get(ref, 0) > entry.version:
                    return False
            if entry.version < self._doubt:
                entry.fresh_until = 0.0
            entry.version = self._version
        return True

    async def _look_up_once(self, digest: bytes, credential: bytes, known: _Entry | None) -> Verdict:
        version, task = self._flights.get(digest, (-1, None))
        if task is None or version != self._version:  # a verdict from before a change does not count after it
            task = asyncio.create_task(self._look_up(digest, credential, self._version))
            self._flights[digest] = (self._version, task)
        outcome = await asyncio.shield(task)
        if not isinstance(outcome, StoreError):
            return outcome
        now = self._clock()
        self._retry_at = now + RETRY_SECONDS
        if known is not None and known.usable_until > now and self._holds(known):
            return replace(cast("Grant", known.verdict), unconfirmed=True)  # denials have no grace
        raise StoreUnavailable(str(outcome))  # one exception for each waiting request

    async def _look_up(self, digest: bytes, credential: bytes, version: int) -> Verdict | StoreError:
        """Look the verdict up and cache it. Errors are returned: there may be no waiting request to catch them."""
        try:
            verdict = await self._source.judge(credential)
        except StoreError as error:
            return error
        finally:
            if self._flights.get(digest, (-1, None))[0] == version:
                del self._flights[digest]
        self._remember(digest, verdict, version)
        return verdict

    def _remember(self, digest: bytes, verdict: Verdict, version: int) -> None:
        now = self._clock()
        if isinstance(verdict, Denial):
            self._grants.pop(digest, None)
            if verdict.memorable:
                fresh_until = now + NEGATIVE_SECONDS
                _put(self._denials, digest, _Entry(verdict, fresh_until, fresh_until, version), NEGATIVE_ENTRIES)
            return
        self._denials.pop(digest, None)
        # Spread over the last quarter of the time, so that credentials seen together are not looked up together.
        fresh_until = now + self._seconds * (1 - digest[0] / 1024)
        entry = _Entry(verdict, fresh_until, fresh_until + self._grace, version)
        if verdict.expires_at is not None:
            end = now + verdict.expires_at - self._wall()
            entry.fresh_until = min(entry.fresh_until, end)
            entry.usable_until = min(entry.usable_until, end)
        _put(self._grants, digest, entry, self._most_grants)


def _put(entries: OrderedDict[bytes, _Entry], digest: bytes, entry: _Entry, most: int) -> None:
    entries[digest] = entry
    entries.move_to_end(digest)
    if len(entries) > most:
        entries.popitem(last=False)
