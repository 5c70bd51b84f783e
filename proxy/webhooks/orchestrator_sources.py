"""Sources of orchestrator lists: the configuration, a file, an upstream URL. Each keeps the last good list."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import httpx
import msgspec
import structlog

from config.webhooks import MAX_ORCHESTRATORS, Orchestrator, OrchestratorList, orchestrator_address

MAX_BYTES = 1024 * 1024
"""Largest list, be it a file or a response."""
FETCH_SECONDS = 10.0
FIRST_FETCH_SECONDS = 2.0
"""Longest time that a request waits for a list that was never fetched; its gateway waits three seconds."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.orchestrators")


class BadList(ValueError):
    """A list that cannot be used; the message says why."""


class ListSource(Protocol):
    """One list, between `start` and `stop`."""

    def start(self) -> None:
        """Begin to keep the list up to date."""

    async def stop(self) -> None:
        """End that."""

    async def orchestrators(self) -> Sequence[Orchestrator] | None:
        """Return the list, best first; None if it was never read."""


class StaticList:
    """The list of the configuration."""

    def __init__(self, listed: Sequence[Orchestrator]) -> None:
        self._listed = listed

    def start(self) -> None:
        """There is nothing to start."""

    async def stop(self) -> None:
        """There is nothing to stop."""

    async def orchestrators(self) -> Sequence[Orchestrator]:
        """Return the list."""
        return self._listed


class FileList:
    """The list of a file, read again whenever its time or size has changed."""

    def __init__(self, path: Path, failed: Callable[[], None], tier: str) -> None:
        self._path = path
        self._failed = failed
        self._tier = tier
        self._version: tuple[int, int] | None = None
        self._listed: Sequence[Orchestrator] | None = None

    def start(self) -> None:
        """There is nothing to start: the file is looked at with each request."""

    async def stop(self) -> None:
        """There is nothing to stop."""

    async def orchestrators(self) -> Sequence[Orchestrator] | None:
        """Return the list as the file has it, or had it while the file cannot be read."""
        await asyncio.to_thread(self._look)
        return self._listed

    def _look(self) -> None:
        try:
            status = self._path.stat()
            version = status.st_mtime_ns, status.st_size
            if version == self._version:
                return
            self._version = version
            if status.st_size > MAX_BYTES:
                raise BadList(f"has more than {MAX_BYTES} bytes")
            self._listed = parse_list(self._path.read_bytes())
        except (OSError, ValueError) as error:
            self._failed()
            log.warning("orchestrator_list_failed", tier=self._tier, file=str(self._path), error=str(error))


class UpstreamList:
    """The list behind a URL, fetched in the background; no request waits for it once there is one."""

    def __init__(self, url: str, refresh_seconds: float, failed: Callable[[], None], tier: str) -> None:
        self._url = url
        self._refresh_seconds = refresh_seconds
        self._failed = failed
        self._tier = tier
        self._listed: Sequence[Orchestrator] | None = None
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Fetch the list now, and again and again."""
        self._task = asyncio.create_task(self._refresh())

    async def stop(self) -> None:
        """End the fetching."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def orchestrators(self) -> Sequence[Orchestrator] | None:
        """Return the list as it was last fetched."""
        if self._listed is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_FETCH_SECONDS):
                    await self._tried.wait()
        return self._listed

    async def _refresh(self) -> None:
        async with httpx.AsyncClient(timeout=FETCH_SECONDS, trust_env=False) as client:
            while True:
                try:
                    async with asyncio.timeout(FETCH_SECONDS):
                        self._listed = parse_list(await self._fetch(client))
                except (httpx.HTTPError, OSError, ValueError) as error:
                    self._failed()
                    reason = str(error) or type(error).__name__
                    log.warning("orchestrator_list_failed", tier=self._tier, error=reason)
                self._tried.set()
                await asyncio.sleep(self._refresh_seconds)

    async def _fetch(self, client: httpx.AsyncClient) -> bytes:
        body = b""
        async with client.stream("GET", self._url) as response:
            if response.status_code != 200:
                raise BadList(f"responded with {response.status_code}")
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise BadList(f"has more than {MAX_BYTES} bytes")
        return body


def source_of(settings: OrchestratorList, failed: Callable[[], None], tier: str) -> ListSource:
    """Return the source of these settings; `failed` is called whenever it cannot be read."""
    if settings.file is not None:
        return FileList(settings.file, failed, tier)
    if settings.url is not None:
        return UpstreamList(settings.url, settings.refresh_seconds, failed, tier)
    return StaticList(settings.orchestrators or ())


def parse_list(text: bytes) -> tuple[Orchestrator, ...]:
    """Return the orchestrators of a list, each once, in order. Raises `BadList` for one that holds none.

    JSON is a list of objects with `address` (or `orchUri`, as rankings call it) and maybe a `score` of 0 to 1; any
    other text has an address a line, and comments after `#`. Entries that are no https origin are left out.
    """
    found: dict[str, Orchestrator] = {}
    for address, score in _entries(text):
        with contextlib.suppress(ValueError):
            known = orchestrator_address(address)
            found.setdefault(known, Orchestrator(address=known, score=score))
    if not found:
        raise BadList("has no https address of an orchestrator")
    return tuple(found.values())[:MAX_ORCHESTRATORS]


def _entries(text: bytes) -> Iterable[tuple[str, float]]:
    if not text.lstrip().startswith((b"[", b"{")):
        lines = (line.partition("#")[0].strip() for line in text.decode(errors="replace").splitlines())
        return [(line, 1) for line in lines if line]
    try:
        rows = msgspec.json.decode(text, type=list[dict[str, Any]])
    except (ValueError, RecursionError) as error:
        raise BadList(f"is no JSON list of objects: {error}") from None
    return [(str(row.get("address") or row.get("orchUri") or ""), _score(row.get("score"))) for row in rows]


def _score(score: object) -> float:
    """Return the score if it is one of a gateway's; rankings have scores of other meanings."""
    return score if isinstance(score, int | float) and score in (0, 1) else 1
