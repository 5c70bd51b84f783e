"""Bare chain, the least that a proxy costs here: our own clients of gateway and Redis with nothing between them.

Stock uvicorn; one script call before the request is forwarded, one behind the last byte, which appends to a stream.
No key is checked, nothing is limited, metered, priced or logged. What Tollgate takes beyond this is its features' cost.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from starlette.types import Message, Receive, Scope, Send

from middlewares.store import Call, Script
from proxy.store.store import Store
from proxy.upstream import ConnectionPool, Timeouts
from tests.benchmarks.programs import LOOPBACK, Candidate, free_port, redis, running, uvicorn

NAME = "a bare chain"
_UPSTREAM, _REDIS, _FOLDER = "BARE_UPSTREAM", "BARE_REDIS", "BARE_FOLDER"
_KEYS = ("{bare}held", "{bare}used", "{bare}events")
_RESERVE = Script("reserve", b"redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1]) return {1}")
_SETTLE = Script(
    "settle",
    b"""
    if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return {0} end
    redis.call('HINCRBY', KEYS[2], 'requests', 1)
    redis.call('XADD', KEYS[3], '*', 'event', ARGV[2])
    return {1}
    """,
)
_EVENT = "." * 700
"""Text about as long as a usage event."""
_DEADLINE_SECONDS = 1.0
_PASSED = frozenset((b"content-type", b"content-length"))


@dataclass(frozen=True, slots=True)
class _Chain:
    pool: ConnectionPool
    store: Store
    ids: count[int]
    timeouts: Timeouts

    async def call(self, script: Script, *args: str | int) -> None:
        """Wait for the reply of one call."""
        await self.store.run(Call(script, _KEYS, args), deadline=_DEADLINE_SECONDS)

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reserve, forward, respond, settle."""
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        request_id = str(next(self.ids))
        await self.call(_RESERVE, request_id, 0)
        headers = [(b"host", b"upstream"), *(header for header in scope["headers"] if header[0] == b"content-type")]
        target = scope["raw_path"]
        with await self.pool.send(b"POST", target, headers, body, timeouts=self.timeouts) as response:
            passed = [header for header in response.headers if header[0] in _PASSED]
            await send({"type": "http.response.start", "status": response.status, "headers": passed})
            content = response.buffered()
            while not response.complete:
                if content:
                    await send({"type": "http.response.body", "body": content, "more_body": True})
                content = await response.chunk()
        await send({"type": "http.response.body", "body": content})
        await self.call(_SETTLE, request_id, _EVENT)


_chain: list[_Chain] = []
"""Chain of this process, while its server runs."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve uvicorn."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    else:
        await _chain[0].forward(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    async with await Store.open(os.environ[_REDIS], Path(os.environ[_FOLDER])) as store:
        pool = ConnectionPool(LOOPBACK, int(os.environ[_UPSTREAM]), max_connections=512)
        _chain.append(_Chain(pool, store, count(1), Timeouts()))
        await send(_completed("startup"))
        await receive()
        _chain.clear()
        pool.close()
    await send(_completed("shutdown"))


def _completed(phase: str) -> Message:
    return {"type": f"lifespan.{phase}.complete"}


@contextlib.asynccontextmanager
async def bare(folder: Path, upstream: Candidate, *, under: Sequence[str] = ()) -> AsyncIterator[Candidate]:
    """Run the chain in front of `upstream`, in a process of its own, with a Redis of its own.

    The command `under` is given that of the process, and runs it.
    """
    port = free_port()
    command = (*under, *uvicorn("tests.benchmarks.bare:app", port, lifespan="on"))
    async with redis(folder) as (redis_port, server):
        chosen = {
            _UPSTREAM: str(upstream.port),
            _REDIS: f"redis://{LOOPBACK}:{redis_port}",
            _FOLDER: str(folder),
        }
        async with running(*command, port=port, log=folder / "bare.log", environment=chosen) as process:
            yield Candidate(NAME, port, processes={"worker": (process,), "redis": (server,)})
