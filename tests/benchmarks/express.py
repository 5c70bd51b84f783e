"""The Express peer, where its folder lies beside the checkout: the way Livepeer's documentation proxies a gateway."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

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
    running,
)
from tests.benchmarks.programs import redis as redis_server

PEER = ROOT.parent / "shared" / "peers" / "express"
PACKAGES = ("express", "http-proxy-middleware", "express-rate-limit", "rate-limit-redis", "redis")
INSTALL_SECONDS = 120.0


@contextlib.asynccontextmanager
async def express(folder: Path, gateway: Candidate) -> AsyncIterator[Candidate]:
    """The peer in front of `gateway`, with a Redis of its own. Raises `Missing`."""
    server = PEER / "server.js"
    if not server.is_file():
        raise Missing(f"the Express peer is not in ../{PEER.relative_to(ROOT.parent)}")
    node, npm = find("node", "nodejs"), find("npm", "npm")
    make(folder)
    try:
        await output_of(
            npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", *PACKAGES, seconds=INSTALL_SECONDS
        )
    except Failed as error:
        raise Missing(f"the Express peer's packages cannot be installed: {error}") from None
    port = free_port()
    async with redis_server(folder / "redis") as (redis_port, redis_process):
        environment = {
            "PORT": str(port),
            "GATEWAY_URL": f"http://{LOOPBACK}:{gateway.port}",
            "REDIS_URL": f"redis://{LOOPBACK}:{redis_port}",
            "NODE_PATH": str(folder / "node_modules"),
            "NODE_ENV": "production",
        }
        async with running(
            node, str(server), port=port, log=folder / "express.log", environment=environment
        ) as process:
            processes = {"worker": (process,), "redis": (redis_process,)}
            yield Candidate("Express peer", port, keys=("peer",), processes=processes)
