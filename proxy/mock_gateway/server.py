"""The mock gateway on a socket, for tests in the same event loop and for a process of its own."""

import asyncio
from types import TracebackType
from typing import Self

from uvicorn import Config
from uvicorn.server import ServerState

from proxy.mock_gateway import webhooks
from proxy.mock_gateway.app import App
from proxy.mock_gateway.connection import WireProtocol
from proxy.mock_gateway.gateway import Gateway, Hooks, Options
from proxy.mock_gateway.record import KEEP, Log, Record

NEVER = 10**6
"""Seconds: the gateway closes no idle connection (CONTRACT.md, "Ports")."""


class MockGateway:
    """One mock gateway.

    `keep`: records kept. `crash`: True makes a crash real: the listener closes, every connection drops, `crashed` is
    set, and `start` begins a new process without the sessions of the old one. By default a crash is only counted, and
    drops the connection that caused it.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        hooks: Hooks | None = None,
        crash: bool = False,
        keep: int = KEEP,
    ) -> None:
        self._gateway = Gateway(options or Options(), hooks or Hooks(), Log(keep))
        if crash:
            self._gateway.crash = self._crash
        self._config = Config(
            App(self._gateway),
            http=WireProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=NEVER,
        )
        self._config.load()
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._beating = False
        self.crashed = asyncio.Event()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. Raises OSError if the address is taken."""
        if self.crashed.is_set():
            self._gateway.forget()
            self.crashed.clear()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, host, port, backlog=2048)
        self._gateway.url = f"http://{host}:{self._server.sockets[0].getsockname()[1]}"
        if self._gateway.hooks.heartbeat_interval and not self._beating:
            self._beating = True
            self._gateway.detach(webhooks.keep_beating(self._gateway))

    def _protocol(self) -> WireProtocol:
        return WireProtocol(self._config, self._state, {})

    async def stop(self) -> None:
        """Stop listening, drop every connection, end all work."""
        self._close()
        work = [*self._state.tasks, *self._gateway.jobs]
        for job in self._gateway.jobs:
            job.cancel()
        await asyncio.gather(*work, return_exceptions=True)

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._state.connections):
            connection.transport.abort()

    def _crash(self) -> None:
        self._close()
        self.crashed.set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """`http://host:port`, of the last start."""
        return self._gateway.url

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self.url.rpartition(":")[2])

    @property
    def requests(self) -> list[Record]:
        """The requests since the last reset, oldest first, without those of the control surface."""
        return list(self._gateway.log.records)

    @property
    def counters(self) -> dict[str, int]:
        """`seen`, `finished`, `in_flight`, `peak`, `held`, `crashes`."""
        return self._gateway.log.counters()

    async def wait_for(self, *, timeout: float = 60.0, **at_least: int) -> dict[str, int]:
        """Wait until each named counter has reached its number; raises TimeoutError after `timeout` seconds."""
        return await self._gateway.log.wait_for(timeout=timeout, **at_least)

    @property
    def hooks(self) -> Hooks:
        """The webhooks that it calls; may be changed while it runs."""
        return self._gateway.hooks

    @property
    def live(self) -> list[str]:
        """Stream ids of the live streams that heartbeats name."""
        return webhooks.living(self._gateway)

    @property
    def kicked(self) -> list[str]:
        """Stream ids of live streams that a webhook has ended, in order."""
        return list(self._gateway.kicked)

    async def beat(self, ids: list[str] | None = None) -> None:
        """Send one heartbeat now, of `ids` if given instead of the running streams; end what its response names."""
        await webhooks.beat(self._gateway, ids)

    def end_byoc(self, stream_id: str) -> None:
        """End a BYOC stream as when its WHIP client closes."""
        self._gateway.end_byoc(stream_id)

    def forget_byoc_status(self, stream_id: str) -> None:
        """Drop the status of a BYOC stream that lives on, as a minute after its start (CONTRACT.md section 1.7)."""
        self._gateway.byoc[stream_id].forget_at = 0.0

    def release(self, name: str) -> None:
        """Let requests held by this name go on."""
        self._gateway.log.release(name)

    def reset(self) -> None:
        """Forget all requests and sessions."""
        self._gateway.reset()
