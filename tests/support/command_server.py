"""Forks `tollgate` commands from a process that has imported them: importing takes longer than most commands.

Each command is a process of its own, with its own environment, folder and standard streams, as from a shell. The server
is `python -m tests.support.command_server KIND SOCKET`. A client sends `{"arguments", "environment", "folder"}` as one
line of JSON and gets two: `{"pid"}`, and at the end `{"code", "out", "err"}`. With `"log"`, the name of a file, the
command adds what it writes to that, and leads a session of its own. The server ends with its standard input.

There are two kinds of server, for `prometheus_client` decides when it is imported whether processes share their
metrics: those of `tollgate serve` do, those of other commands do not.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import setproctitle
import typer

from proxy.server.metric_files import VARIABLE
from proxy.server.processes.template import MODULES, end_with

COMMANDS = (
    "middlewares.auth",
    "proxy.api.admin",
    "proxy.backup",
    "proxy.cli",
    "proxy.control",
    "proxy.history",
    "proxy.identity",
    "proxy.reporting",
    "proxy.store",
)
"""Packages of which commands import most when they need them."""
SERVING = ("proxy.cli.main", "proxy.server.supervisor", *MODULES.values(), "alembic.command")
"""Modules of `tollgate serve` and, as each of its histories is new, those that upgrade it."""
NOT_LOADED = (
    "proxy.history.migrations",
    "proxy.cli.commands.demo",
    "proxy.cli.commands.serve",
    "proxy.cli.reference",
    "proxy.reporting.parquet",
)


class Running:
    """A command that runs, with the attributes and methods of `asyncio.subprocess.Process` that tests use."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.out = self.err = ""
        self._reader, self._writer = reader, writer
        self._done = asyncio.create_task(self._wait())

    @classmethod
    async def start(cls, kind: str, request: Mapping[str, object]) -> Running:
        """Have the server of that kind start a command."""
        reader, writer = await asyncio.open_unix_connection(server_of(kind), limit=1 << 26)
        writer.write(json.dumps(request).encode() + b"\n")
        return cls(json.loads(await reader.readline())["pid"], reader, writer)

    async def _wait(self) -> int:
        done = json.loads(await self._reader.readline())
        self._writer.close()
        self.out, self.err = done["out"], done["err"]
        code: int = done["code"]
        return code

    @property
    def returncode(self) -> int | None:
        """Exit code; None while it runs."""
        return self._done.result() if self._done.done() else None

    async def wait(self) -> int:
        """Wait for its end; return its exit code."""
        return await asyncio.shield(self._done)

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if not self._done.done():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send it SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)


async def run(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> tuple[int, str, str]:
    """Run `tollgate` in `folder`; return its exit code, standard output and standard error."""
    request = {"arguments": list(arguments), "environment": dict(environment), "folder": str(folder)}
    command = await Running.start("commands", request)
    try:
        async with asyncio.timeout(120):
            code = await command.wait()
    except TimeoutError:
        command.kill()
        raise
    return code, command.out, command.err


async def start_serving(environment: Mapping[str, str], folder: Path, log: Path) -> Running:
    """Start `tollgate serve` in `folder`, in a session of its own; what it writes is added to `log`."""
    request = {"arguments": ["serve"], "environment": dict(environment), "folder": str(folder), "log": str(log)}
    return await Running.start("serving", request)


@cache
def server_of(kind: str) -> str:
    """Start the server of that kind of this test process; return the path of its socket."""
    folder = tempfile.mkdtemp(prefix="tollgate-commands-", dir="/tmp")
    path = f"{folder}/s"
    command = sys.executable, "-m", "tests.support.command_server", kind, path
    environment = {**os.environ, VARIABLE: folder} if kind == "serving" else None
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], env=environment
    )
    assert process.stdin is not None
    assert process.stdout is not None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(process.wait)
    atexit.register(process.stdin.close)
    with process.stdout as ready:
        assert ready.readline() == b"ready\n"
    return path


def serve(kind: str, path: str) -> None:
    """Serve until standard input ends."""
    if kind == "serving":
        setproctitle.getproctitle()  # finds the title's place in memory by the environment, which commands replace
        for name in SERVING:
            importlib.import_module(name)
    else:
        for name in COMMANDS:
            _load(importlib.import_module(name))
    main: Any = importlib.import_module("proxy.cli.main")
    main.app = typer.main.get_command(main.app)  # as a call of it does, which takes as long as a command
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps them
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)
        while True:
            readable, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in readable:
                return
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    _attend(connection)


def _load(package: ModuleType) -> None:
    for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not each.name.startswith(NOT_LOADED):
            importlib.import_module(each.name)


def _attend(connection: socket.socket) -> None:
    """Run one command in a child; reply with what came of it, and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection.makefile("rwb") as stream, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        request = json.loads(stream.readline())
        if (pid := os.fork()) == 0:
            connection.close()
            if log := request.get("log"):
                os.setsid()
                file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                _command(request, file, file)
            _command(request, out.fileno(), err.fileno())
        stream.write(json.dumps({"pid": pid}).encode() + b"\n")
        stream.flush()
        _, status = os.waitpid(pid, 0)
        out.seek(0)
        err.seek(0)
        code = os.waitstatus_to_exitcode(status)
        reply = {"code": code, "out": out.read().decode(), "err": err.read().decode()}
        stream.write(json.dumps(reply).encode() + b"\n")
    os._exit(0)


def _command(request: dict[str, object], out: int, err: int) -> None:
    """Be `python -m proxy.cli.main` with these arguments, and end as it does."""
    main: Any = importlib.import_module("proxy.cli.main")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)

    def program() -> None:
        os.environ.clear()
        os.environ.update(request["environment"])  # type: ignore[call-overload]
        os.chdir(str(request["folder"]))
        sys.path[0] = os.getcwd()  # as `python -m` has it
        sys.argv = [main.__file__, *request["arguments"]]  # type: ignore[misc]
        sys.modules["__main__"] = main  # whose name is in the texts on usage
        main.main()

    end_with(program)


if __name__ == "__main__":
    serve(*sys.argv[1:])
