"""One worker process: serves requests from the shared listener until it is asked to stop.

Forked by the template. When its lifeline ends, the supervisor is gone, and the worker drains as on SIGTERM.
"""

from __future__ import annotations

import asyncio
import enum
import gc
import socket
import sys

import structlog
import uvloop

from config.loader import ConfigError, load
from config.settings import Settings
from middlewares.response.log import configure_logging
from middlewares.store import StoreError
from proxy.server import metric_files
from proxy.server.control_plane.applications import control_plane
from proxy.server.http import server, url_of
from proxy.server.processes.lifeline import READY, stop_with_supervisor, tell_supervisor
from proxy.server.protocol import protocol_class
from proxy.server.worker_application import WorkerApplication

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.worker")

GC_THRESHOLD = 50_000
"""Allocations between collections of the youngest generation; the default of 700 shows in the latency."""

SWITCH_SECONDS = 0.0005
"""How long a thread that parses a large body may keep the interpreter from the event loop; the default is 5 ms."""


def main(listener: int) -> None:
    """Serve requests of the listener with that descriptor; exit with one clear line where that cannot start."""
    try:
        settings = load()
    except ConfigError as error:
        sys.exit(f"tollgate: the configuration cannot be used:\n{error}")
    metric_files.own_inherited()  # as long as this process writes to them, also when its supervisor was killed
    configure_logging(settings.log.level)
    sys.setswitchinterval(SWITCH_SECONDS)
    drop_member_fallback()
    gc.disable()  # until it serves: hardly anything of what it is made of becomes garbage
    try:
        uvloop.run(serve(settings, socket.socket(fileno=listener)))
    except (StoreError, ConfigError) as error:
        sys.exit(f"tollgate: {error}")


async def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve requests of the listener until the supervisor says otherwise. Raises `StoreError` or `ConfigError`."""
    origin = settings.public_url or url_of(listener)
    async with WorkerApplication.open(settings, origin=origin, control=control_plane) as application:
        protocol = protocol_class(settings.edge)
        http = server(application.app, protocol, grace_seconds=settings.drain.grace_seconds)

        def stop() -> None:
            protocol.draining = True
            http.should_exit = True

        stop_with_supervisor(stop)
        serving = asyncio.create_task(http.serve([listener]))
        await http.listening.wait()
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 20, 50)
        gc.enable()
        tell_supervisor(READY)
        await serving


def drop_member_fallback() -> None:
    """Make members of enumerations as fast to find as in Python 3.12, which has no `EnumType.__getattr__` any more.

    No member needs it, each is an attribute of its class; but its mere presence sends every look-up
    (`Outcome.COMPLETE`) through a slow path of 900 instructions in place of 60. A request makes 58 of them: 5 % of what
    a worker does for it.
    """
    if sys.version_info < (3, 12) and "__getattr__" in vars(enum.EnumType):
        delattr(enum.EnumType, "__getattr__")
