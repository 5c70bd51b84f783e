"""Runs of the command line, in a process of its own or, which is faster, in this one."""

import asyncio
import contextlib
import functools
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import typer.main

from proxy.cli.main import main
from tests.control.redis_fixtures import redis_server, store
from tests.store.servers import RedisServer
from tests.support import command_server

__all__ = ["redis_server", "store"]


@dataclass(frozen=True)
class Done:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        assert self.err == ""
        return json.loads(self.out)


Tollgate = Callable[..., Done]

_built = functools.cache(typer.main.get_command)
"""Builds all commands once: it takes ten times as long as most of them."""


def _environment(**settings: str) -> dict[str, str]:
    """Return an environment without other settings of Tollgate than these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOLLGATE_")}
    return {**inherited, **settings}


def spawn(folder: Path, *arguments: str, **settings: str) -> Done:
    """Run `tollgate` in `folder`, as a process."""
    done = subprocess.run(
        [sys.executable, "-m", "proxy.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=60,
        env=_environment(**settings),
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def forked(folder: Path, *arguments: str, **settings: str) -> Done:
    """Run `tollgate` in `folder`, as a process that has imported it already."""
    code, out, err = asyncio.run(command_server.run(arguments, _environment(**settings), folder))
    assert "Traceback" not in err, err
    return Done(code, out, err)


def call(*arguments: str, **settings: str) -> Done:
    """Run `tollgate` in this process, by the function that is its entry point."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with (
        patch.dict(os.environ, _environment(**settings), clear=True),
        patch.object(sys, "argv", ["tollgate", *arguments]),
        patch.object(typer.main, "get_command", _built),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        main()
    for stream in (out, err):
        stream.seek(0)
    return Done(int(end.value.code or 0), out.read(), err.read())


@pytest.fixture
def tollgate(redis_server: RedisServer) -> Tollgate:
    """Return a function that runs `tollgate` on a Redis of this test."""

    def run(*arguments: str, **settings: str) -> Done:
        return call(*arguments, **{"TOLLGATE_REDIS_URL": redis_server.url, **settings})

    return run


@pytest.fixture
def client_id(tollgate: Tollgate) -> str:
    """Create an app and return its client id."""
    return str(tollgate("apps", "create", "Acme", "--plan", "free", "--json").json["client_id"])
