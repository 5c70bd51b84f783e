"""Express peer, if its folder is beside the checkout: the way Livepeer's documentation proxies a gateway."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.benchmarks.programs import (
    LOOPBACK,
    ROOT,
    Candidate,
    Failed,
    Missing,
    find,
    free_port,
    make,
    output_of,
    redis,
    running,
)
from tests.benchmarks.wrk import saturate

PEER = ROOT.parent / "shared" / "peers" / "express"
PACKAGES = ("express", "http-proxy-middleware", "express-rate-limit", "rate-limit-redis", "redis")
INSTALL_SECONDS = 120.0
WARM_UP_CONNECTIONS = 8
WARM_UP_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Express:
    """Peer, installed, with a Redis of its own."""

    node: str
    folder: Path
    gateway: Candidate
    redis_port: int
    redis: psutil.Process

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Candidate]:
        """Run a fresh process, warmed up.

        A request whose client has gone keeps its connection to the gateway forever, and so does each that wrk abandons
        at the end of a run: after 200 of them the peer responds to nothing more.
        """
        port = free_port()
        environment = {
            "PORT": str(port),
            "GATEWAY_URL": f"http://{LOOPBACK}:{self.gateway.port}",
            "REDIS_URL": f"redis://{LOOPBACK}:{self.redis_port}",
            "NODE_PATH": str(self.folder / "node_modules"),
            "NODE_ENV": "production",
        }
        command = (self.node, str(PEER / "server.js"))
        async with running(*command, port=port, log=self.folder / "log", environment=environment) as process:
            candidate = Candidate("Express peer", port, ("peer",), {"worker": (process,), "redis": (self.redis,)})
            await saturate(candidate, WARM_UP_CONNECTIONS, WARM_UP_SECONDS, self.folder)
            yield candidate


@contextlib.asynccontextmanager
async def express(folder: Path, gateway: Candidate) -> AsyncIterator[Express]:
    """Install the peer and prepare it in front of `gateway`. Raises `Missing`."""
    if not (PEER / "server.js").is_file():
        raise Missing(f"the Express peer is not in ../{PEER.relative_to(ROOT.parent)}")
    node, npm = find("node", "nodejs"), find("npm", "npm")
    make(folder)
    options = ("--prefix", str(folder), "--no-audit", "--no-fund")
    try:
        await output_of(npm, "install", *options, *PACKAGES, seconds=INSTALL_SECONDS)
    except Failed as error:
        raise Missing(f"the Express peer's packages cannot be installed: {error}") from None
    async with redis(folder / "redis") as (port, process):
        yield Express(node, folder, gateway, port, process)
