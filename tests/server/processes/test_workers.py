"""A reload at the wrong moment: no worker is started while Tollgate stops."""

import asyncio
import socket
from typing import Any, cast

from proxy.server.processes.children import Child, Template, TemplateDied
from proxy.server.processes.workers import Workers


class FakeTemplate:
    """Starts nothing, and counts how often it should have."""

    def __init__(self) -> None:
        self.started = 0

    async def start(self, _name: str, *_descriptors: int) -> Child:
        self.started += 1
        raise TemplateDied


async def test_a_reload_during_the_drain_starts_no_worker() -> None:
    """Hazard: SIGHUP behind SIGTERM, as of a terminal that is closed, would fork from a listener that is closed."""
    template: Any = FakeTemplate()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        workers = Workers(cast("Template", template), listener, 1, stop_seconds=1, on_reload=lambda: None)
        await workers.stop()
        workers.restart()
        await asyncio.sleep(0.01)
    assert template.started == 0
