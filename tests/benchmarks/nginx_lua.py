"""nginx + Lua + Redis peer, if its folder is beside the checkout: limits and usage as an expert scripts them."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
from redis.asyncio import Redis

from proxy.store.embedded.binary import find_server
from tests.benchmarks.programs import LOOPBACK, ROOT, Candidate, Missing, find, free_port, make, running

PEER = ROOT.parent / "shared" / "peers" / "nginx-lua"
TEMPLATE = PEER / "nginx.conf.in"
NAME = "nginx + Lua + Redis peer"
MODULES = Path("/usr/lib/nginx/modules")
MODULE = MODULES / "ngx_http_lua_module.so"
LIBRARIES = Path("/usr/share/lua/5.1/nginx")
PACKAGES = "libnginx-mod-http-lua lua-nginx-redis lua-nginx-string lua-cjson"
KEY = "peer"


@contextlib.asynccontextmanager
async def nginx_lua(folder: Path, gateway: Candidate) -> AsyncIterator[Candidate]:
    """Run the peer in front of `gateway`, with one customer and a Redis of its own. Raises `Missing`."""
    if not TEMPLATE.is_file():
        raise Missing(f"the {NAME} is not in ../{PEER.relative_to(ROOT.parent)}")
    binary = find("nginx", "nginx-light")
    if not MODULE.is_file() or not (LIBRARIES / "redis.lua").is_file():
        raise Missing(f"nginx's Lua is not installed (Debian packages {PACKAGES})")
    make(folder)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_configuration(folder, gateway.port, port))
    async with _redis(folder) as redis:
        command = (binary, "-p", str(folder), "-c", str(config))
        async with running(*command, port=port, log=folder / "nginx.log") as process:
            yield Candidate(NAME, port, (KEY,), {"worker": (process,), "redis": (redis,)})


def _configuration(folder: Path, gateway: int, port: int) -> str:
    """Return the peer's own settings, in one process that stays in the foreground, as all that is measured here."""
    text = TEMPLATE.read_text()
    for name, value in {"D": str(folder), "UP": str(gateway), "LUA": str(port)}.items():
        text = text.replace(f"@{name}@", value)
    text = re.sub(r"\bload_module modules/", f"load_module {MODULES}/", text)
    text = re.sub(r"\bworker_processes 1;", "master_process off;", text)
    return re.sub(r"\bdaemon on;", "daemon off;", text)


@contextlib.asynccontextmanager
async def _redis(folder: Path) -> AsyncIterator[psutil.Process]:
    """Run the peer's Redis on the socket that it expects, as durable as the embedded one, with its customer's key."""
    port, path = free_port(), folder / "lua.sock"
    where = ("--bind", LOOPBACK, "--port", str(port), "--unixsocket", str(path), "--unixsocketperm", "777")
    how = ("--dir", str(folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", "")
    async with running(find_server(folder), *where, *how, port=port, log=folder / "redis.log") as process:
        async with Redis(unix_socket_path=str(path)) as client:
            await client.set(f"key:{hashlib.sha256(KEY.encode()).hexdigest()}", "app1")
        yield process
