"""The state of one gateway process: its options, its log, and the sessions that live in its memory."""

import asyncio
import json
import math
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from proxy.mock_gateway.media import Result
from proxy.mock_gateway.record import Log, Record

SESSIONS = 1_000
"""Newest sessions kept of each kind; the gateway itself never ends some of them (CONTRACT.md section 1.0)."""
MAX_VIEWERS = 5
"""WHEP sessions per stream, the gateway's default (CONTRACT.md section 1.4)."""

K = TypeVar("K")
V = TypeVar("V")


class Newest(dict[K, V]):
    """A dict that keeps its `limit` newest keys."""

    def __init__(self, limit: int = SESSIONS) -> None:
        super().__init__()
        self._limit = limit

    def __setitem__(self, key: K, value: V) -> None:
        self.pop(key, None)
        super().__setitem__(key, value)
        if len(self) > self._limit:
            del self[next(iter(self))]


@dataclass(slots=True)
class Manifest:
    """A segment push session: its renditions (name, resolution) and newest segments (sequence, milliseconds)."""

    renditions: list[tuple[str, str]]
    segments: Newest[int, int]
    last_used: float


@dataclass(slots=True)
class LiveStream:
    """A running live video-to-video or BYOC stream."""

    name: str
    stream_id: str
    request_id: str
    pipeline: str
    params: str = ""
    viewers: int = 0
    whep_url: str = ""
    data_output: bool = False
    orchestrator: str = ""
    authorised: bool = True
    """False: its webhook has not responded yet, so that no heartbeat names it."""
    ends_at: float = math.inf
    """Event loop time from which on a BYOC stream has ended by itself."""
    forget_at: float = math.inf
    """Event loop time from which on the gateway has no status of a BYOC stream any more."""


@dataclass(slots=True)
class Hooks:
    """URLs that the gateway calls (CONTRACT.md section 5), and how. None: it does not."""

    live_auth_url: str | None = None
    """`-liveAIAuthWebhookUrl`"""
    live_auth_key: str = ""
    """`-liveAIAuthApiKey`"""
    heartbeat_url: str | None = None
    """`-liveAIHeartbeatURL`"""
    heartbeat_headers: dict[str, str] = field(default_factory=dict)
    """`-liveAIHeartbeatHeaders`"""
    heartbeat_interval: float = 5.0
    """`-liveAIHeartbeatInterval` in seconds; 0: only through the control surface."""
    auth_url: str | None = None
    """`-authWebhookUrl`"""


@dataclass(frozen=True, slots=True)
class Options:
    """How a gateway was built and started, and what its orchestrators can take."""

    http_ingest: bool = True
    """False removes the AI, live, BYOC and push routes (CONTRACT.md, "Activation trap")."""
    external_store: bool = False
    """Results, renditions and recordings live in an object store, as with `-objectStore` and `-recordStore`."""
    async_results: bool = False
    """Results of detached image-to-video can be read back. No released gateway does this (CONTRACT.md section 1.3)."""
    stock_ffmpeg: bool = False
    """The FFmpeg of the official build: it reads neither WAV nor Ogg and writes no recording as .mp4
    (CONTRACT.md sections 1.1 and 1.6)."""
    monitor: bool = False
    """`-monitor`, with which a missing model drops the connection on every route (CONTRACT.md section 1.0)."""
    offchain: bool = False
    """`-network offchain`, where no BYOC job finds an orchestrator (CONTRACT.md section 1.7)."""
    capacity: int | None = None
    """Batch AI jobs that run at once; one more drops its connection (CONTRACT.md section 1.0). None: any number."""
    byoc_event_timeout: float = 30.0
    """Seconds without an event of its worker after which a BYOC stream ends (CONTRACT.md section 1.7)."""
    byoc_status_linger: float = 60.0
    """Seconds for which the status of a BYOC stream that ended by itself stays (CONTRACT.md section 1.7)."""
    gateway_host: str = ""
    """`-gatewayHost`"""


@dataclass(slots=True, eq=False)
class Gateway:
    """One gateway process. `crash` ends it, see `MockGateway`; `hooks` may be changed while it runs."""

    options: Options = field(default_factory=Options)
    hooks: Hooks = field(default_factory=Hooks)
    log: Log = field(default_factory=Log)
    crash: Callable[[], None] = lambda: None
    url: str = ""
    results: Newest[str, Result] = field(default_factory=Newest)
    videos: Newest[str, dict[str, Any]] = field(default_factory=Newest)
    manifests: Newest[str, Manifest] = field(default_factory=Newest)
    aliases: Newest[str, str] = field(default_factory=Newest)
    live: Newest[str, LiveStream] = field(default_factory=Newest)
    byoc: Newest[str, LiveStream] = field(default_factory=Newest)
    readable: Newest[str, bool] = field(default_factory=Newest)
    """Manifests whose recordings the webhook lets be read; called once for each (CONTRACT.md section 1.6)."""
    kicked: list[str] = field(default_factory=list)
    """Stream ids of live streams that were ended because a webhook said so, in order."""
    jobs: set[asyncio.Task[None]] = field(default_factory=set)
    running: set[Record] = field(default_factory=set)
    """Requests that occupy capacity of the orchestrator."""
    leaked: int = 0
    """Capacity that the orchestrator never gets back, not even by a new gateway process (CONTRACT.md section 1.2)."""

    def publish(self, result: Result) -> str:
        """Keep a generated file; return its URL, relative without an object store (CONTRACT.md section 1.0)."""
        path = f"/stream/{short_id()}/{short_id()}.{result.extension}"
        self.results[path] = result
        return f"{self.url}/__mock/store{path}" if self.options.external_store else path

    def detach(self, job: Coroutine[Any, Any, None]) -> None:
        """Run work that outlives its request, as the gateway's goroutines do."""
        task = asyncio.get_running_loop().create_task(job)
        self.jobs.add(task)
        task.add_done_callback(self.jobs.discard)

    def occupy(self, record: Record) -> bool:
        """True if the orchestrator had capacity for the request, which now occupies it until the request ends."""
        capacity = self.options.capacity
        if capacity is not None and len(self.running) + self.leaked >= capacity:
            return False
        self.running.add(record)
        return True

    def leak(self, record: Record) -> None:
        """Lose the capacity that the request occupies: its orchestrator's handler panicked."""
        self.running.discard(record)
        self.leaked += 1

    def end_byoc(self, stream_id: str) -> None:
        """End a BYOC stream as when its WHIP client closes: its status stays for a while (CONTRACT.md section 1.7)."""
        if stream := self.byoc.get(stream_id):
            now = asyncio.get_running_loop().time()
            stream.ends_at = min(stream.ends_at, now)
            stream.forget_at = min(stream.forget_at, now + self.options.byoc_status_linger)

    def forget(self) -> None:
        """Lose what lives in the memory of the process, as at its end."""
        for sessions in (self.results, self.videos, self.manifests, self.aliases, self.live, self.byoc, self.readable):
            sessions.clear()

    def reset(self) -> None:
        """Begin anew, as if gateway and orchestrators had restarted: no requests, no sessions, all capacity."""
        self.log.reset()
        self.forget()
        self.kicked.clear()
        self.running.clear()
        self.leaked = 0


def short_id() -> str:
    """Return eight hex digits, the gateway's kind of id (CONTRACT.md section 1.0)."""
    return secrets.token_hex(4)


def encode(value: object) -> bytes:
    """Return compact JSON and a newline, as Go's encoder writes it."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
