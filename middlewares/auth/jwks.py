"""Signing keys of external issuers: loaded in the background, the last good ones kept."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import jwt
import structlog

from config.access import Issuer
from middlewares.auth.ports import Fetch

_RETRY_SECONDS = 15
"""Longest time until the next load after a failed one."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.auth")


class KeySet:
    """The public keys of one issuer.

    Loaded once per `refresh_seconds`; a token that names an unknown key brings the next load forward, at most once
    per `refresh_seconds`, and never waits for it.
    """

    def __init__(self, issuer: Issuer, load: Callable[[], Awaitable[bytes | None]]) -> None:
        """`load` returns the JSON Web Key Set document, or None when it is the one returned before."""
        self.loaded = False
        """True once a key set was loaded."""
        self._issuer = issuer
        self._load = load
        self._keys: dict[tuple[str | None, str], list[jwt.PyJWK]] = {}
        self._missed = asyncio.Event()
        self._failed = False

    def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the key of that id for that algorithm, or None. Without an id, return the only key that fits."""
        keys = self._keys.get((kid, algorithm), [])
        if len(keys) == 1:
            return keys[0]
        self._missed.set()
        return None

    async def refresh(self) -> None:
        """Load the key set now; on any failure the keys stay as they are."""
        try:
            document = await self._load()
            if document is not None:
                self._keys = usable_keys(document, self._issuer.algorithms)
                self.loaded = True
        except Exception as error:  # of any kind: the last good keys stay in use
            if not self._failed:
                _log.warning(
                    "jwks_unavailable",
                    issuer=self._issuer.issuer,
                    error=f"{type(error).__name__}: {error}",
                    have_keys=self.loaded,
                )
            self._failed = True
            return
        if self._failed:
            _log.info("jwks_recovered", issuer=self._issuer.issuer)
            self._failed = False

    async def keep_fresh(self) -> None:
        """Refresh for ever. After a load that an unknown key id brought forward, wait a whole interval."""
        early = False
        while True:
            seconds = self._issuer.refresh_seconds
            if self._failed:
                await asyncio.sleep(min(seconds, _RETRY_SECONDS))
            elif early:
                await asyncio.sleep(seconds)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._missed.wait()
            early = self._missed.is_set()
            self._missed.clear()
            await self.refresh()


class KeySets:
    """The key sets of all issuers, kept fresh between `start` and `stop`."""

    def __init__(self, issuers: Sequence[Issuer], fetch: Fetch) -> None:
        self._sets = {issuer: KeySet(issuer, _loader(issuer, fetch)) for issuer in issuers}
        self._tasks: list[asyncio.Task[None]] = []

    def __getitem__(self, issuer: Issuer) -> KeySet:
        return self._sets[issuer]

    async def start(self) -> None:
        """Try to load every key set once, side by side, then keep them fresh in the background."""
        await asyncio.gather(*(keys.refresh() for keys in self._sets.values()))
        self._tasks = [asyncio.create_task(keys.keep_fresh()) for keys in self._sets.values()]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []


def _loader(issuer: Issuer, fetch: Fetch) -> Callable[[], Awaitable[bytes | None]]:
    if issuer.jwks_file is not None:
        return _FileLoader(issuer.jwks_file)
    url = issuer.jwks_url or ""
    return lambda: fetch(url)


class _FileLoader:
    """Reads a file if its modification time has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._modified: int | None = None

    async def __call__(self) -> bytes | None:
        return await asyncio.to_thread(self._read)

    def _read(self) -> bytes | None:
        modified = self._path.stat().st_mtime_ns
        if modified == self._modified:
            return None
        document = self._path.read_bytes()
        self._modified = modified
        return document


def usable_keys(document: bytes, algorithms: Sequence[str]) -> dict[tuple[str | None, str], list[jwt.PyJWK]]:
    """Return keys by (id, algorithm) and, for tokens without an id, by (None, algorithm). Raises ValueError.

    A key is good for every accepted algorithm of its type, or for the one it names. Keys for encryption, private and
    symmetric keys, short ones and those of a foreign curve are left out.
    """
    try:
        parsed = json.loads(document)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    entries = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it is not a JSON Web Key Set")
    found: dict[tuple[str | None, str], list[jwt.PyJWK]] = {}
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or "d" in entry:
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


def _bound(entry: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    if entry.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(entry, algorithm)
        prepared = key.Algorithm.prepare_key(key.key)
    except Exception:  # malformed members make PyJWT and cryptography raise all sorts of errors
        return None
    return None if key.Algorithm.check_key_length(prepared) else key
