"""Forks `tollgate` commands from a process that has imported them: importing takes longer than most commands.

Each command is a process of its own, with its own environment, folder and standard streams, as from a shell. The server
is `python -m tests.support.command_server SOCKET`. A client sends `{"arguments", "environment", "folder"}` as one line
of JSON and gets two: `{"pid"}`, and at the end `{"code", "out", "err"}`. The server ends with its standard input.
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
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

LOADED = ("proxy.backup", "proxy.cli", "proxy.control", "proxy.history", "proxy.reporting", "proxy.store")
"""Packages of which commands import most when they need them."""
NOT_LOADED = (
    "proxy.history.migrations",
    "proxy.cli.commands.demo",
    "proxy.cli.commands.serve",
    "proxy.cli.reference",
    "proxy.reporting.parquet",
)


async def run(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> tuple[int, str, str]:
    """Run `tollgate` in `folder`; return its exit code, standard output and standard error."""
    reader, writer = await asyncio.open_unix_connection(_server(), limit=1 << 26)
    request = {"arguments": list(arguments), "environment": dict(environment), "folder": str(folder)}
    writer.write(json.dumps(request).encode() + b"\n")
    pid = json.loads(await reader.readline())["pid"]
    try:
        async with asyncio.timeout(60):
            done = json.loads(await reader.readline())
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        writer.close()
    return done["code"], done["out"], done["err"]


@cache
def _server() -> str:
    """Start the server of this test process; return the path of its socket."""
    folder = tempfile.mkdtemp(prefix="tollgate-commands-", dir="/tmp")
    path = f"{folder}/s"
    command = sys.executable, "-m", "tests.support.command_server", path
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert process.stdin is not None
    assert process.stdout is not None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(process.wait)
    atexit.register(process.stdin.close)
    with process.stdout as ready:
        assert ready.readline() == b"ready\n"
    return path


def serve(path: str) -> None:
    """Serve until standard input ends."""
    for name in LOADED:
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
    code = 0
    try:
        os.environ.clear()
        os.environ.update(request["environment"])  # type: ignore[call-overload]
        os.chdir(str(request["folder"]))
        sys.path[0] = os.getcwd()  # as `python -m` has it
        sys.argv = [main.__file__, *request["arguments"]]  # type: ignore[misc]
        sys.modules["__main__"] = main  # whose name is in the texts on usage
        main.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
