"""Whole product as a new user runs it: `tollgate serve` in processes of its own, in front of a mock gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import yaml

from config.loader import load
from config.settings import Settings
from middlewares.auth.keys import pepper_of
from middlewares.ledger.settlement.event import DECODER, plain
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.control.users import Users
from proxy.mock_gateway import MockGateway
from proxy.mock_gateway.record import Record
from proxy.store.configured import open_store, redis_keys
from proxy.store.store import Store
from tests.support import command_server

START_SECONDS = 60.0
DEFAULTS: dict[str, Any] = {
    "listen": "127.0.0.1:0",
    "admin_listen": "127.0.0.1:0",
    "store": {"deadline_seconds": 5},  # a Redis that waits its turn on a busy machine is not taken for a lost one
}
WORKER = "tollgate: worker"
"""Title of worker processes."""
TOLLGATE = (sys.executable, "-m", "proxy.cli.main")


@dataclass(frozen=True, slots=True)
class Customer:
    """App and one of its API keys."""

    app: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        """Headers that authenticate a request."""
        return {"authorization": f"Bearer {self.key}"}


class Deployment:
    """Tollgate in processes of its own. `gateway` is the mock gateway behind it, in this process."""

    def __init__(
        self,
        folder: Path,
        gateway: MockGateway,
        config: Mapping[str, Any],
        environment: Mapping[str, str],
        *,
        command: Sequence[str] | None = None,
    ) -> None:
        """`command` starts it; by default it is a fork, which is `tollgate serve` once that has been imported."""
        self._command = command
        self.folder = folder
        self.gateway = gateway
        self.log = folder / "tollgate.log"
        self._file = folder / "tollgate.yaml"
        settings = {**DEFAULTS, "data_dir": str(folder / "data"), **config}
        if "pools" not in settings.get("routing", {}):
            settings["gateway_url"] = gateway.url
        self._file.write_text(yaml.safe_dump(settings))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TOLLGATE_")},
            "TOLLGATE_CONFIG": str(self._file),
            "TOLLGATE_WEBHOOKS__SECRET": "a secret, without which live WHIP is refused",
            **environment,
        }
        self.process: command_server.Running | asyncio.subprocess.Process | None = None
        self._loaded: tuple[str, Settings] | None = None
        self.public = ""
        self.private = ""

    @property
    def settings(self) -> Settings:
        """Settings that Tollgate runs with; read anew when the file says something else, for that takes long."""
        text = self._file.read_text()
        if self._loaded is None or self._loaded[0] != text:
            self._loaded = text, load(self._file)
        return self._loaded[1]

    @property
    def host(self) -> str:
        """`host:port` of the public listener."""
        return self.public.removeprefix("http://")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the public listener."""
        host, _, port = self.host.rpartition(":")
        return host, int(port)

    async def start(self, seconds: float = START_SECONDS) -> None:
        """Start in a process group of its own; return once requests are taken, within that many seconds."""
        self.log.touch()
        offset = self.log.stat().st_size
        if self._command is None:
            self.process = await command_server.start_serving(self.environment, Path.cwd(), self.log)
        else:
            with self.log.open("ab") as log:
                self.process = await asyncio.create_subprocess_exec(
                    *self._command, stdout=log, stderr=log, env=self.environment, start_new_session=True
                )
        async with asyncio.timeout(seconds):
            while not (ready := self._ready_line(offset)):
                if self.process.returncode is not None:
                    raise AssertionError(f"Tollgate did not start:\n{self.log.read_text()}")
                await asyncio.sleep(0.02)
        self.public, self.private = ready["public"], ready["private"]

    def _ready_line(self, offset: int) -> dict[str, Any]:
        return next((line for line in self.lines(offset) if line.get("event") == "ready"), {})

    def lines(self, offset: int = 0) -> list[dict[str, Any]]:
        """Return the JSON lines of the log, from a byte offset on."""
        found = []
        for line in self.log.read_bytes()[offset:].splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return found

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor alone, as a process manager does."""
        assert self.process is not None
        self.process.send_signal(number)

    async def wait_for_exit(self, seconds: float = 60.0) -> int:
        """Wait until the supervisor has ended; return its exit code."""
        assert self.process is not None
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    async def stop(self) -> None:
        """Send SIGTERM, expect a clean exit, and wait until every process is gone."""
        assert self.process is not None
        if self.process.returncode is None:
            self.signal(signal.SIGTERM)
            assert await self.wait_for_exit() == 0
        await wait_until_gone(self.processes)

    def kill(self) -> None:
        """Send SIGKILL to everything at once: supervisor, workers, the embedded Redis and its supervisor."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def killed(self) -> list[psutil.Process]:
        """Kill everything, and return what lives all the same: it was started meanwhile, or takes its time to end."""
        self.kill()
        return self.processes()

    def processes(self) -> list[psutil.Process]:
        """Return every living process of this deployment."""
        group, data = self.process.pid if self.process else None, str(self.folder / "data").encode()
        mine = []
        for pid in psutil.pids():
            with contextlib.suppress(psutil.Error, OSError):
                if os.getpgid(pid) == group or data in Path(f"/proc/{pid}/cmdline").read_bytes():
                    process = psutil.Process(pid)
                    if process.status() != psutil.STATUS_ZOMBIE:
                        mine.append(process)
        return mine

    def workers(self) -> list[psutil.Process]:
        """Return every living worker process."""
        mine = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if WORKER in " ".join(process.cmdline()):
                    mine.append(process)
        return mine

    def journals(self) -> list[Path]:
        """Return the journals of workers, living and dead; each living worker has one, if only an empty one."""
        return list((self.settings.data_dir / "journal").glob("*.journal"))

    def journals_are_empty(self) -> bool:
        """Return True if there are journals, and nothing is in them; there may be none while workers are replaced."""
        with contextlib.suppress(FileNotFoundError):  # one was adopted, and removed, just now
            found = self.journals()
            return bool(found) and not any(path.stat().st_size for path in found)
        return False

    def forwarded(self, app: str) -> list[Record]:
        """Return the requests that the gateway received on behalf of an app."""
        return [record for record in self.gateway.requests if record.header("x-tollgate-app") == app]

    def record(self, request_id: str | None) -> Record:
        """Return what the gateway received of one request."""
        [record] = [record for record in self.gateway.requests if record.request_id == request_id]
        return record

    @contextlib.asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """Open the store as the command line does, whether Tollgate runs or not."""
        async with await open_store(self.settings) as store:
            yield store

    async def customer(self, plan: str = "unlimited") -> Customer:
        """Create an app on a plan, and a key of it."""
        async with self.store() as store:
            app, _ = await Apps(store.redis, pepper_of(self.settings.auth)).create("test", plan)
        return Customer(app.client_id, await self.key(app.client_id))

    async def user(self, app: str, name: str) -> str:
        """Create a user of an app; return its id."""
        async with self.store() as store:
            user, _ = await Users(store.redis).create(app, name)
            return user.user_id

    async def key(self, app: str, user: str | None = None, expires_at: datetime | None = None) -> str:
        """Create another key of an app, or of one of its users; return its text."""
        async with self.store() as store:
            keys = ApiKeys(store.redis, pepper_of(self.settings.auth))
            _, key = await keys.create(app, user=user, expires_at=expires_at)
            return key

    async def events(self, app: str | None = None) -> list[dict[str, Any]]:
        """Return every usage event in the ledger, or every one of an app, oldest first within an app."""
        keys = redis_keys(self.settings)
        found = []
        async with self.store() as store:
            for tag in keys.tags:
                entries: Any = await store.redis.xrange(keys.shared(tag).events)
                for _, fields in entries:
                    event = DECODER.decode(fields[b"event"])
                    if app in (None, event.app):
                        found.append(plain(event, fields[b"amount"].decode()))
        return found

    async def settled(self, count: int, app: str | None = None, seconds: float = 60.0) -> list[dict[str, Any]]:
        """Wait until the ledger has exactly `count` events, which are written after the client has its response."""
        found: list[dict[str, Any]] = []

        async def written() -> bool:
            found[:] = await self.events(app)
            return len(found) >= count

        await eventually(written, seconds)
        assert len(found) == count, found
        return found

    async def cli(self, *arguments: str) -> tuple[int, str, str]:
        """Run `tollgate ...` on this configuration; return exit code, standard output and standard error."""
        return await command_server.run(arguments, self.environment, Path.cwd())


async def eventually(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 60.0) -> None:
    """Wait until `condition` holds; fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.02)


async def wait_until_gone(processes: Callable[[], list[psutil.Process]]) -> None:
    """Wait until `processes()` is empty."""
    await eventually(lambda: not processes())


@contextlib.asynccontextmanager
async def deployed(
    folder: Path, config: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Deployment]:
    """Run Tollgate in front of a mock gateway for the time of a test; nothing of it is left afterwards."""
    async with MockGateway() as gateway:
        deployment = Deployment(folder, gateway, config or {}, environment or {})
        try:
            await deployment.start()
            yield deployment
            await deployment.stop()
        finally:
            await wait_until_gone(deployment.killed)
            if deployment.process is not None:
                await deployment.process.wait()
    assert "Traceback" not in deployment.log.read_text()
