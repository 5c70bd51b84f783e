"""Hazard: a worker that starts without looking for garbage never begins to, and grows for as long as it lives."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from config.settings import Settings
from proxy.server import worker
from proxy.server.processes.lifeline import READY
from proxy.server.worker_application import WorkerApplication

pytestmark = pytest.mark.ci


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """The collector of this process, as it was."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.enable()


async def test_a_worker_collects_garbage_from_when_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    listening, told = asyncio.Event(), dict[bytes, tuple[bool, int]]()

    @asynccontextmanager
    async def opened(*_: object, **__: object) -> AsyncIterator[Any]:
        yield SimpleNamespace(app=None)

    async def serve(_: object) -> None:
        listening.set()

    def tell(line: bytes) -> None:
        told[line] = gc.isenabled(), gc.get_threshold()[0]

    monkeypatch.setattr(WorkerApplication, "open", opened)
    monkeypatch.setattr(worker, "server", lambda *_, **__: SimpleNamespace(listening=listening, serve=serve))
    monkeypatch.setattr(worker, "stop_with_supervisor", lambda _: None)
    monkeypatch.setattr(worker, "tell_supervisor", tell)
    gc.disable()
    with socket.socket() as listener:
        await worker.serve(Settings(gateway_url="http://127.0.0.1:1", public_url="http://a.example"), listener)
    assert told == {READY: (True, worker.GC_THRESHOLD)}
