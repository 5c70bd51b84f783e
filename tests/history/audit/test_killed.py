"""The archiver is killed between any two steps: each audit line is in the chain once, in order, or waits in Redis."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from proxy.control.audit.log import STREAM, AuditLog
from proxy.history.audit.archiver import AuditArchiver
from proxy.history.audit.reader import AuditReader
from tests.history.audit.lines import EVERYTHING, KEY, OPERATOR, verdict
from tests.history.fakes import Archive
from tests.store.servers import RedisServer, eventually

pytestmark = pytest.mark.slow


class _Killed(BaseException):
    """The process ends here."""


class _Mortal:
    """A client whose process is killed before its command number `last`, counted from 0."""

    def __init__(self, client: Any, last: int) -> None:
        self._client, self._left = client, last

    def __getattr__(self, name: str) -> Any:
        if self._left == 0:
            raise _Killed
        self._left -= 1
        return getattr(self._client, name)


async def test_each_line_is_chained_once_whatever_step_is_the_last(archive: Archive) -> None:
    audit, died = AuditLog(archive.client), 0
    reader = AuditReader(archive.client, archive.history)
    for last in range(14):
        for number in range(2):
            await audit.record(OPERATOR, "key.revoke", KEY, detail={"number": 2 * last + number})
        mortal: Any = _Mortal(archive.client, last)
        try:
            await AuditArchiver(mortal, archive.history, "owner", archive.reports).advance()
        except _Killed:
            died += 1
        found = [each.line.numbers["number"] async for each in reader.all(EVERYTHING)]
        assert found == list(reversed(range(2 * last + 2)))
        assert (await verdict(archive)).findings == ()
    assert 5 <= died < 14  # at last no command was left to be killed at


@pytest.mark.parametrize("rounds", [2, pytest.param(100, marks=pytest.mark.soak)])
async def test_kill_nine(
    archive: Archive, redis_server: RedisServer, history_url: str, tmp_path: Path, rounds: int
) -> None:
    written = 0
    for _ in range(rounds):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.history.archiver_run", redis_server.url, history_url, str(tmp_path)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        while b"ready" not in await process.stdout.readline():
            pass
        goal = random.randint(1, 30)
        for number in range(goal):
            await AuditLog(archive.client).record(OPERATOR, "key.revoke", KEY, detail={"number": written + number})
        written += goal
        left = random.randint(0, goal)

        async def few_wait(left: int = left) -> bool:
            return int(await archive.client.xlen(STREAM)) <= left

        await eventually(few_wait)
        process.kill()
        await process.wait()
    reader = AuditReader(archive.client, archive.history)
    found = [each.line.numbers["number"] async for each in reader.all(EVERYTHING)]
    assert found == list(reversed(range(written)))
    assert await archive.advance()
    after = await verdict(archive)
    assert (after.lines, after.findings) == (written, ())
