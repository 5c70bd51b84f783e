"""Opens a connection to one Redis: socket, TLS, login, and what the server reports of itself."""

import asyncio
import socket
import ssl
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Self

from middlewares.store import StoreRejected, StoreUnavailable
from proxy.store.address import Address, Credentials, Endpoint
from proxy.store.connection import RedisConnection

CLIENT_NAME = "tollgate"

_KEEPALIVE_IDLE_SECONDS = 30
"""Shorter than the idle time after which cloud load balancers drop a connection silently."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Facts that a server reports, empty where it does not. `run_id` differs for every start of a server."""

    role: str
    mode: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Dialer:
    """Opens the connections of a store; times in seconds."""

    login: Credentials
    db: int
    tls: ssl.SSLContext | None
    timeout: float
    stall: float
    max_pending: int

    @classmethod
    def to(cls, address: Address, *, timeout: float, stall: float, max_pending: int) -> Self:
        """Return the dialer for `address`. Raises `StoreUnavailable` when its TLS files cannot be used."""
        try:
            tls = address.ssl_context()
        except OSError as error:  # ssl.SSLError is one, too
            raise StoreUnavailable(f"the TLS options of {address} cannot be used: {error.strerror or error}") from None
        return cls(address.login, address.db, tls, timeout, stall, max_pending)

    async def dial(self, endpoint: Endpoint) -> tuple[RedisConnection, ServerInfo]:
        """Return a connection that is logged in and replies. Raises `StoreError` after at most `timeout` seconds."""
        with ExitStack() as undo:
            try:
                async with asyncio.timeout(self.timeout):
                    connection = undo.enter_context(closing(await self._connect(endpoint)))
                    server = await self._greet(connection)
            except TimeoutError:
                raise StoreUnavailable(f"Redis at {endpoint} does not reply") from None
            except OSError as error:
                raise StoreUnavailable(f"Redis at {endpoint} cannot be reached: {error.strerror or error}") from None
            except StoreRejected as error:
                raise StoreRejected(f"the login is refused: {error}") from None
            undo.pop_all()
            return connection, server

    async def _connect(self, endpoint: Endpoint) -> RedisConnection:
        loop = asyncio.get_running_loop()

        def protocol() -> RedisConnection:
            return RedisConnection(str(endpoint), stall=self.stall, max_pending=self.max_pending)

        if endpoint.path:
            return (await loop.create_unix_connection(protocol, endpoint.path))[1]
        transport, connection = await loop.create_connection(
            protocol, endpoint.host, endpoint.port, ssl=self.tls, server_hostname=endpoint.host if self.tls else None
        )
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_SECONDS)
        return connection

    async def _greet(self, connection: RedisConnection) -> ServerInfo:
        if self.login.password is not None:  # not within HELLO: servers too old for it repeat its words in their error
            user = (self.login.username,) if self.login.username else ()
            await connection.call((b"AUTH", *user, self.login.password), self.timeout)
        hello = await connection.call((b"HELLO", 2, b"SETNAME", CLIENT_NAME), self.timeout)
        if self.db:
            await connection.call((b"SELECT", self.db), self.timeout)
        facts = dict(zip(hello[::2], hello[1::2], strict=False)) if isinstance(hello, list) else {}
        try:
            about = await connection.call((b"INFO", b"server"), self.timeout)
        except StoreRejected:  # this user may not ask
            about = b""
        run_id = about.partition(b"run_id:")[2].partition(b"\r\n")[0]
        return ServerInfo(facts.get(b"role", b"").decode(), facts.get(b"mode", b"").decode(), run_id.decode())
