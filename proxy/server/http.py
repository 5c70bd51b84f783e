"""The uvicorn server of both listeners, and the sockets it listens on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

BACKLOG = 4096


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the process it runs in."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Set `listening` once connections are accepted."""
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals: the supervisor and the worker handle them."""
        yield


def server(app: ASGIApp, protocol: type[HttpToolsProtocol], *, grace_seconds: float) -> Server:
    """Return a server for sockets that are handed to `serve()`.

    The parser is always httptools: uvicorn's other one accepts requests that RFC 9112 says to reject, at a quarter
    of the speed. Access log and forwarded addresses are Tollgate's own business, so that uvicorn's are off.
    """
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http=protocol,
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(grace_seconds)),
        backlog=BACKLOG,
    )
    return Server(config)


def bind(address: str) -> socket.socket:
    """Return a listening socket for `host:port`; port 0 takes a free one. Raises `OSError`."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the http origin of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
