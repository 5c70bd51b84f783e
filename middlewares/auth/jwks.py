"""Signing keys of external issuers: loaded in the background, the last good ones kept for some time."""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import jwt
import structlog

from config.issuers import Issuer
from middlewares.auth.discovery import DiscoveringLoader
from middlewares.auth.ports import Fetch
from middlewares.json_codec import nested_too_deeply

_START_SECONDS = 5.0
"""Longest wait for the first load of all key sets."""
_MOST_KEYS = 200
"""Most keys of a set; each takes up to a millisecond to read."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.auth")


class KeySet:
    """The public keys of one issuer.

    Loaded once per `refresh_seconds`; a token that names an unknown key brings the next load forward, to the end of
    `cool_down_seconds` after the last one, and never waits for it. Nothing causes a load sooner than that.
    """

    def __init__(
        self,
        issuer: Issuer,
        load: Callable[[], Awaitable[bytes | None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load` returns the JSON Web Key Set document, or None when it is the one returned before."""
        self._issuer = issuer
        self._clock = clock
        self._good_until: float | None = None
        """By the clock; None: none was ever loaded."""
        self._load = load
        self._keys: dict[tuple[str | None, str], list[jwt.PyJWK]] = {}
        self._missed = asyncio.Event()
        self._failed = False
        self._expired = False

    @property
    def usable(self) -> bool:
        """True if a key set was loaded that the issuer may still stand for.

        A key that it withdraws while it cannot be reached would be good for ever otherwise.
        """
        return self._good_until is not None and self._clock() <= self._good_until

    def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the key of that id for that algorithm, or None. Without an id, return the only key that fits."""
        keys = self._keys.get((kid, algorithm), [])
        if len(keys) == 1:
            return keys[0]
        self._missed.set()
        return None

    async def refresh(self) -> None:
        """Load the key set now; on any failure the keys stay as they are, until they are too old."""
        try:
            document = await self._load()
            if document is None and self._failed:
                raise ValueError("it is still the document that could not be used")
            if document is not None:
                self._keys = await asyncio.to_thread(usable_keys, document, self._issuer.algorithms)
        except Exception as error:  # of any kind: the last good keys stay in use
            if not self._failed:
                log.warning(
                    "jwks_unavailable",
                    issuer=self._issuer.issuer,
                    error=f"{type(error).__name__}: {error}",
                    have_keys=self.usable,
                )
            if self._good_until is not None and not self.usable and not self._expired:
                log.error("jwks_expired", issuer=self._issuer.issuer, stale_seconds=self._issuer.stale_seconds)
                self._expired = True
            self._failed = True
            return
        self._good_until = self._clock() + self._issuer.refresh_seconds + self._issuer.stale_seconds
        if self._failed:
            log.info("jwks_recovered", issuer=self._issuer.issuer)
            self._failed = self._expired = False

    async def keep_fresh(self, wanted: Callable[[], bool] = lambda: True) -> None:
        """Refresh for ever, or until it is not wanted any more."""
        seconds = self._issuer.refresh_seconds
        cool_down = min(self._issuer.cool_down_seconds, seconds)
        while True:
            await asyncio.sleep(cool_down)
            if not self._failed:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds - cool_down):
                        await self._missed.wait()
            if not wanted():
                return
            self._missed.clear()
            await self.refresh()


class KeySets:
    """The key sets of all issuers, kept fresh between `start` and `stop`."""

    def __init__(self, issuers: Sequence[Issuer], fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._sets: dict[tuple[object, ...], KeySet] = {}
        for issuer in issuers:
            self._sets.setdefault(_source(issuer), KeySet(issuer, loader(issuer, fetch), clock))
        self._tasks: list[asyncio.Task[None]] = []

    def __getitem__(self, issuer: Issuer) -> KeySet:
        return self._sets[_source(issuer)]

    async def start(self) -> None:
        """Try to load every key set once, for some seconds at most, and keep them fresh in the background."""
        first = {asyncio.create_task(keys.refresh()): keys for keys in self._sets.values()}
        self._tasks = [asyncio.create_task(_keep(loading, keys)) for loading, keys in first.items()]
        if first:
            await asyncio.wait(first, timeout=_START_SECONDS)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []


async def _keep(loading: asyncio.Task[None], keys: KeySet) -> None:
    await loading
    await keys.keep_fresh()


def _source(issuer: Issuer) -> tuple[object, ...]:
    """Return what its keys are known by: an issuer of several audiences has one key set, and one cool-down."""
    return issuer.issuer, issuer.jwks_file, issuer.jwks_url, issuer.algorithms


def loader(issuer: Issuer, fetch: Fetch, *, trusted: bool = True) -> Callable[[], Awaitable[bytes | None]]:
    """Return what loads the key set of an issuer; `trusted`: its addresses stand in the configuration."""
    if issuer.jwks_file is not None:
        return _FileLoader(issuer.jwks_file)
    if issuer.jwks_url is None:
        return DiscoveringLoader(issuer.issuer, fetch, trusted=trusted)
    url = issuer.jwks_url
    return lambda: fetch(url, trusted=trusted)


class _FileLoader:
    """Reads a file if its modification time has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._modified: int | None = None

    async def __call__(self) -> bytes | None:
        return await asyncio.to_thread(self._read)

    def _read(self) -> bytes | None:
        known, self._modified = self._modified, None
        modified = self._path.stat().st_mtime_ns
        if modified == known:
            self._modified = known
            return None
        document = self._path.read_bytes()
        self._modified = modified
        return document


def usable_keys(document: bytes, algorithms: Sequence[str]) -> dict[tuple[str | None, str], list[jwt.PyJWK]]:
    """Return keys by (id, algorithm) and, for tokens without an id, by (None, algorithm). Raises ValueError.

    A key is good for every accepted algorithm of its type, or for the one it names. Keys for encryption, private and
    symmetric keys, short ones and those of a foreign curve are left out.
    """
    if nested_too_deeply(document):
        raise ValueError("it is nested too deeply")
    try:
        parsed = json.loads(document)
    except ValueError:
        raise ValueError("it is not JSON") from None
    entries = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it is not a JSON Web Key Set")
    if len(entries) > _MOST_KEYS:
        raise ValueError(f"it holds more than {_MOST_KEYS} keys")
    found: dict[tuple[str | None, str], list[jwt.PyJWK]] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not _verifies(entry) or "d" in entry:
            continue
        for algorithm in algorithms:
            key = _bound(entry, algorithm)
            if key is None:
                continue
            found.setdefault((None, algorithm), []).append(key)
            if isinstance(kid := entry.get("kid"), str):
                found.setdefault((kid, algorithm), []).append(key)
    if not found:
        raise ValueError(f"it holds no public key for {', '.join(algorithms)}")
    return found


def _verifies(entry: dict[str, Any]) -> bool:
    """Return True unless the key says that it is for something else (RFC 7517 sections 4.2 and 4.3)."""
    operations = entry.get("key_ops", ["verify"])
    return entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _bound(entry: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    if entry.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(entry, algorithm)
        prepared = key.Algorithm.prepare_key(key.key)
    except Exception:  # malformed members make PyJWT and cryptography raise all sorts of errors
        return None
    return None if key.Algorithm.check_key_length(prepared) else key
