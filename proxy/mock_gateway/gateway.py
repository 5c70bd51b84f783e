"""The state of one gateway process: its options, its log, and the sessions that live in its memory."""

import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from proxy.mock_gateway.media import Result
from proxy.mock_gateway.record import Log

SESSIONS = 1_000
"""Newest sessions kept of each kind; the gateway itself never ends some of them (gateway contract section 1.0)."""
MAX_VIEWERS = 5
"""WHEP sessions per stream, the gateway's default (gateway contract section 1.4)."""

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
    """False: its webhook has not answered yet, so that it is in no heartbeat."""


@dataclass(slots=True)
class Hooks:
    """URLs that the gateway calls (gateway contract section 5), and how. None: it does not."""

    live_auth_url: str | None = None
    """`-liveAIAuthWebhookUrl`"""
    live_auth_key: str = ""
    """`-liveAIAuthApiKey`"""
    heartbeat_url: str | None = None
    """`-liveAIHeartbeatURL`"""
    heartbeat_headers: dict[str, str] = field(default_factory=dict)
    """`-liveAIHeartbeatHeaders`"""
    heartbeat_interval: float = 5.0
    """`-liveAIHeartbeatInterval` in seconds; 0: only as told by the control surface."""
    auth_url: str | None = None
    """`-authWebhookUrl`"""


@dataclass(slots=True, eq=False)
class Gateway:
    """One gateway process. Options first, state after.

    `http_ingest`: False removes the AI, live, BYOC and push routes, as a non-loopback listener without
    `-httpIngest` does. `external_store`: results, renditions and recordings live in an object store, as with
    `-objectStore` and `-recordStore`. `gateway_host`: `-gatewayHost`. `crash`: a crash is real, see `MockGateway`.
    `hooks` may be changed while it runs.
    """

    http_ingest: bool = True
    external_store: bool = False
    gateway_host: str = ""
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
    """Manifests whose recordings the webhook lets be read; asked once (section 1.6)."""
    kicked: list[str] = field(default_factory=list)
    """Stream ids of live streams that were ended because a webhook said so, in order."""
    jobs: set[asyncio.Task[None]] = field(default_factory=set)

    def publish(self, result: Result) -> str:
        """Keep a generated file; answers its URL, relative unless there is an object store (section 1.0)."""
        path = f"/stream/{short_id()}/{short_id()}.{result.extension}"
        self.results[path] = result
        return f"{self.url}/__mock/store{path}" if self.external_store else path

    def detach(self, job: Coroutine[Any, Any, None]) -> None:
        """Run work that outlives its request, as the gateway's goroutines do."""
        task = asyncio.get_running_loop().create_task(job)
        self.jobs.add(task)
        task.add_done_callback(self.jobs.discard)

    def reset(self) -> None:
        """As after a restart: no requests seen, no sessions."""
        self.log.reset()
        for sessions in (self.results, self.videos, self.manifests, self.aliases, self.live, self.byoc, self.readable):
            sessions.clear()
        self.kicked.clear()


def short_id() -> str:
    """Eight hex digits, the gateway's kind of id (section 1.0)."""
    return secrets.token_hex(4)


def encode(value: object) -> bytes:
    """Compact JSON and a newline, as Go's encoder writes it."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
