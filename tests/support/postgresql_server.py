"""A PostgreSQL server of a test, on a port of the loopback and with a password."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import psycopg

from tests.store.servers import free_port

PASSWORD = "sesame-password"


def programs() -> Path:
    """Return the folder of `initdb` and `postgres`: Debian keeps it out of the PATH."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"))


class PostgresqlServer:
    """One cluster of databases in `directory`. As root it runs as `postgres`, since the server refuses root."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._bin = programs()
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._user: str | None = None
        directory.mkdir(mode=0o755)
        if os.geteuid() == 0:
            self._user = "postgres"
            os.chown(directory, pwd.getpwnam("postgres").pw_uid, -1)
            for folder in directory.parents:  # pytest's own are closed to other users
                if folder.stat().st_uid == 0 and folder != Path("/"):
                    folder.chmod(folder.stat().st_mode | 0o711)
        word = directory / "word"
        word.write_text(PASSWORD)
        word.chmod(0o644)
        self._run("initdb", "--pgdata", self._data, "--username", "tollgate", "--auth", "scram-sha-256", "--no-sync",
                  "--pwfile", str(word), "--encoding", "UTF8")  # fmt: skip

    @property
    def _data(self) -> str:
        return str(self._directory / "data")

    @property
    def url(self) -> str:
        return f"postgresql://tollgate:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._bin / program, *arguments], check=True, capture_output=True, user=self._user, cwd=self._directory
        )

    def start(self) -> Self:
        options = ("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self._directory}")
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, "-p", str(self.port), *options, "-c", "fsync=off"],
                user=self._user,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                process_group=0,
            )
        give_up = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError:
                assert time.monotonic() < give_up, (self._directory / "log").read_text()[-2000:]
                assert self._process.poll() is None, (self._directory / "log").read_text()[-2000:]
                time.sleep(0.05)
            else:
                return self

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)
        for each in Path("/proc").glob("[0-9]*/stat"):  # backends have process groups of their own
            try:
                fields = each.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self._process.pid:
                os.kill(int(each.parent.name), number)

    def freeze(self) -> None:
        """Stop its time; the kernel keeps its sockets open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """`kill -9` of every process."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
