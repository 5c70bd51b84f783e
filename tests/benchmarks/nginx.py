"""nginx as the static upstream, and as the bare reverse proxy that candidates are compared with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.benchmarks.programs import LOOPBACK, Candidate, find, free_port, make, running

RESPONSE = '{"images":[{"url":"/stream/0a1b2c3d/1.png","seed":7,"nsfw":false}]}'
"""Response of text-to-image (gateway contract section 1.1)."""

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_MAIN = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    {temporary}
    {servers}
}}
"""
_STATIC = """
    server {{
        listen {address} backlog=4096;
        default_type application/json;
        location / {{ return 200 '{response}'; }}
    }}
"""
_PROXY = """
    upstream gateway {{
        server {gateway};
        keepalive 512;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {address} backlog=4096;
        location / {{
            proxy_pass http://gateway;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            {buffering}
        }}
    }}
"""
_STREAMING = """
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_buffer_size 256k;
            proxy_buffers 4 256k;
            client_body_buffer_size 256k;
            proxy_read_timeout 1h;
"""
"""Settings that keep bodies off the disk and in large pieces: nginx's default of 4 KiB would be easy to beat."""


@contextlib.asynccontextmanager
async def static(folder: Path, response: str = RESPONSE) -> AsyncIterator[Candidate]:
    """Run an upstream that gives every request the same response. Raises `Missing`."""
    port = free_port()
    async with _nginx(
        folder, port, "direct", _STATIC.format(address=f"{LOOPBACK}:{port}", response=response)
    ) as candidate:
        yield candidate


@contextlib.asynccontextmanager
async def proxy(folder: Path, gateway: Candidate, *, streaming: bool = False) -> AsyncIterator[Candidate]:
    """Run `proxy_pass` and nothing else; `streaming` passes bodies on as they come. Raises `Missing`."""
    port = free_port()
    addresses = {"address": f"{LOOPBACK}:{port}", "gateway": f"{LOOPBACK}:{gateway.port}"}
    servers = _PROXY.format(**addresses, buffering=_STREAMING if streaming else "")
    async with _nginx(folder, port, "nginx proxy_pass", servers) as candidate:
        yield candidate


@contextlib.asynccontextmanager
async def _nginx(folder: Path, port: int, name: str, servers: str) -> AsyncIterator[Candidate]:
    """Run one nginx process with these servers."""
    binary = find("nginx", "nginx-light")
    make(folder)
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in _TEMPORARY)
    config = folder / "nginx.conf"
    config.write_text(_MAIN.format(folder=folder, temporary=temporary, servers=servers))
    command = (binary, "-p", str(folder), "-c", str(config))
    async with running(*command, port=port, log=folder / "nginx.log") as process:
        yield Candidate(name, port, processes={"worker": (process,)})
