"""Real PostgreSQL servers for tests, and ways to hurt them."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import psutil

from tests.store.servers import WITHIN

USER = "tollgate"
_NUMBERS = itertools.count()


def binary(name: str) -> str | None:
    """Return the path of one of PostgreSQL's programs, which Debian keeps off the PATH; None where it is missing."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda each: int(each.parts[-3]))
    return shutil.which(name) or (str(found[-1]) if found else None)


class Postgres:
    """One server on a unix socket in a folder of its own. It never runs as root, which it refuses."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tollgate-postgres-", dir="/tmp"))
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._prefix: list[str] = []
        if os.getuid() == 0:
            account = next(each for name in ("postgres", "nobody") for each in pwd.getpwall() if each.pw_name == name)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self._prefix = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]

    @property
    def url(self) -> str:
        """Address of the server's database for the history."""
        return f"postgresql://{USER}@/postgres?host={self.folder}"

    def database(self) -> str:
        """Create another database; return its address."""
        name = f"db{next(_NUMBERS)}"
        self.query(f"CREATE DATABASE {name}")
        return f"postgresql://{USER}@/{name}?host={self.folder}"

    def create(self) -> Self:
        """Create an empty cluster and start it."""
        command = [str(binary("initdb")), "-D", str(self._data), "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8"]
        self._run([*command, "--locale=C"])
        return self.start()

    def start(self) -> Self:
        """Start the server, after a crash, too; return once it takes connections."""
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self.folder}", "-c", "fsync=off"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, str(binary("postgres")), "-D", str(self._data), *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        give_up = time.monotonic() + 2 * WITHIN
        while not self.accepts():
            dead = time.monotonic() > give_up or self._process.poll() is not None
            assert not dead, (self.folder / "log").read_text()
            time.sleep(0.02)
        return self

    def accepts(self) -> bool:
        """Return True if it takes connections."""
        return self.query("SELECT 1") == "1"

    def query(self, text: str) -> str:
        """Return what `psql` prints for a query, empty where it fails."""
        command = ["psql", "-h", str(self.folder), "-U", USER, "-d", "postgres", "-qAtc", text]
        return subprocess.run(command, capture_output=True, check=False).stdout.decode().strip()

    def processes(self) -> list[psutil.Process]:
        """Return the server and its children."""
        assert self._process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            server = psutil.Process(self._process.pid)
            return [server, *server.children(recursive=True)]
        return []

    def freeze(self) -> None:
        """Stop the time of all its processes; the kernel keeps their sockets open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them run on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """`kill -9` all of them."""
        found = self.processes()
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        psutil.wait_procs(found, timeout=WITHIN)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def remove(self) -> None:
        """Kill it and delete its files."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: int) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _run(self, command: list[str]) -> None:
        done = subprocess.run([*self._prefix, *command], capture_output=True, check=False, cwd=self.folder)
        assert done.returncode == 0, done.stderr.decode()
