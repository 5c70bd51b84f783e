"""Runs `tollgate` in a process of its own, beside the event loop of the test."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.cli.conftest import Done
from tests.support import command_server


class Command:
    """Runs `tollgate` in one folder, on one Redis."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder = folder
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOLLGATE_")}
        self._environment = {**inherited, "TOLLGATE_REDIS_URL": redis_url}

    async def start(
        self, *arguments: str, stdout: int = PIPE, environment: Mapping[str, str] = MappingProxyType({})
    ) -> Process:
        """Start the process, which the caller ends; its output goes to `stdout`, a pipe or a file descriptor."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy.cli.main", *arguments),
            stdout=stdout,
            stderr=PIPE,
            cwd=self.folder,
            env={**self._environment, **environment},
        )

    async def __call__(self, *arguments: str, **environment: str) -> Done:
        """Run the command to its end."""
        code, out, err = await command_server.run(arguments, {**self._environment, **environment}, self.folder)
        assert "Traceback" not in err, err
        return Done(code, out, err)
