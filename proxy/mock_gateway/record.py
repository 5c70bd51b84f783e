"""The mock gateway's log: one record per request, counters, and waiting for either without sleeping."""

import asyncio
import hashlib
from collections import deque
from dataclasses import dataclass
from typing import Any

from proxy.mock_gateway.behaviour import Behaviour

KEEP = 100_000
_STALL = ""
"""The name that nobody can release."""


@dataclass(slots=True, eq=False)
class Record:
    """One request as it arrived and how its response went. Bodies are counted and hashed, never kept."""

    number: int
    method: str
    target: str
    """The request target as received, undecoded, query included."""
    head: bytes
    """The header lines as received, order and case kept, each ending in CRLF."""
    body_length: int = 0
    body_sha256: str = hashlib.sha256().hexdigest()
    body_complete: bool = False
    """False while the body arrives, and for good if the client left before its end or nobody read it."""
    runner_calls: int = 0
    """How often the runner of a batch AI job was called for it: 20 times where it failed (CONTRACT.md section 1.0)."""
    status: int | None = None
    chunks_sent: int = 0
    bytes_sent: int = 0
    outcome: str = "open"
    """`open`, `complete`, `dropped` (by the mock gateway), `aborted` (the client left) or `failed`."""
    disconnected_at: int | None = None
    """Chunks sent when the client was seen to have left; None if it stayed."""

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Name and value of each header line, in the order and case received."""
        lines = self.head.decode("latin-1").split("\r\n")[:-1]
        return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]

    def header(self, name: str) -> str | None:
        """Return the first value of a header, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def request_id(self) -> str | None:
        """The `X-Request-Id` that came with the request."""
        return self.header("x-request-id")

    def as_dict(self) -> dict[str, Any]:
        """Return the record for the control surface, JSON types only."""
        return {
            "number": self.number,
            "method": self.method,
            "target": self.target,
            "headers": self.headers,
            "request_id": self.request_id,
            "body_length": self.body_length,
            "body_sha256": self.body_sha256,
            "body_complete": self.body_complete,
            "runner_calls": self.runner_calls,
            "status": self.status,
            "chunks_sent": self.chunks_sent,
            "bytes_sent": self.bytes_sent,
            "outcome": self.outcome,
            "disconnected_at": self.disconnected_at,
        }


class Log:
    """The records since the last reset (the newest `keep` of them), counters, and the requests held back.

    Counters: `seen`, `finished`, `in_flight`, `peak` (most at once), `held` (waiting to be released now), `crashes`.
    """

    def __init__(self, keep: int = KEEP) -> None:
        self._waiters: list[tuple[dict[str, int], asyncio.Future[None]]] = []
        self._held: dict[str, set[asyncio.Future[None]]] = {}
        self.records: deque[Record] = deque(maxlen=keep)
        self._clear()

    def _clear(self) -> None:
        self.records.clear()
        self.seen = self.finished = self.peak = self.crashes = 0
        self._open: set[Record] = set()
        self._released: set[str] = set()

    def counters(self) -> dict[str, int]:
        """Return every counter by name."""
        return {
            "seen": self.seen,
            "finished": self.finished,
            "in_flight": len(self._open),
            "peak": self.peak,
            "held": sum(map(len, self._held.values())),
            "crashes": self.crashes,
        }

    def begin(self, method: str, target: str, head: bytes) -> Record:
        """Begin the record of a request whose head has arrived."""
        record = Record(self.seen, method, target, head)
        self.records.append(record)
        self._open.add(record)
        self.seen += 1
        self.peak = max(self.peak, len(self._open))
        self._wake()
        return record

    def finish(self, record: Record) -> None:
        """Count that a request is over, however it ended. Requests from before a reset no longer count."""
        if record in self._open:
            self._open.remove(record)
            self.finished += 1
            self._wake()

    def crashed(self) -> None:
        """Count that the gateway would have died here."""
        self.crashes += 1
        self._wake()

    def reset(self) -> None:
        """Forget all requests and released names, count from zero, let every held request go on."""
        for name in list(self._held):
            self.release(name)
        self._clear()

    async def wait_for(self, *, timeout: float = 60.0, **at_least: int) -> dict[str, int]:
        """Wait until each named counter has reached its number; return the counters.

        Raises TimeoutError, naming the counters, after `timeout` seconds; ValueError for an unknown counter.
        """
        if unknown := at_least.keys() - self.counters():
            raise ValueError(f"unknown counter {', '.join(sorted(unknown))}; there are {', '.join(self.counters())}")
        if not self._reached(at_least):
            waiter = (at_least, asyncio.get_running_loop().create_future())
            self._waiters.append(waiter)
            try:
                async with asyncio.timeout(timeout):
                    await waiter[1]
            except TimeoutError:
                message = f"waited {timeout} s for {at_least}, have {self.counters()}"
                raise TimeoutError(message) from None
            finally:
                self._waiters.remove(waiter)
        return self.counters()

    async def hold(self, behaviour: Behaviour) -> None:
        """Wait as `hold` or `stall` says; return at once without either, or if the name was already released."""
        name = _STALL if behaviour.stall else behaviour.hold
        if name is None or name in self._released:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.setdefault(name, set()).add(waiter)
        self._wake()
        try:
            await waiter
        finally:
            held = self._held.get(name, set())
            held.discard(waiter)
            if not held:
                self._held.pop(name, None)

    def release(self, name: str) -> None:
        """Let everything held by `name` go on, and whatever comes to be until the next reset."""
        self._released.add(name)
        for waiter in self._held.pop(name, set()):
            if not waiter.done():
                waiter.set_result(None)

    def _reached(self, at_least: dict[str, int]) -> bool:
        counters = self.counters()
        return all(counters[name] >= number for name, number in at_least.items())

    def _wake(self) -> None:
        for at_least, waiter in self._waiters:
            if not waiter.done() and self._reached(at_least):
                waiter.set_result(None)
