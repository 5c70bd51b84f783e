"""Commands whose output nobody reads (`tollgate usage | head -1`, `>&-`) end quietly, as other Unix commands do."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.store.servers import RedisServer

UNKNOWN_APP, UNKNOWN_OPTION = ("apps", "show", f"app_{'a' * 16}"), ("apps", "list", "--unknown")


@pytest.fixture
def commands(client_id: str) -> Sequence[Sequence[str]]:
    """Return commands that print in each of the ways there are."""
    app = ("--app", client_id)
    return (
        ("apps", "list"),
        ("apps", "list", "--json"),
        ("usage", *app, "--format", "csv"),
        ("events", *app),
        ("history", "export", "--format", "jsonl", "--from", "2026-01-01", "--to", "2026-01-02"),
    )


@pytest.fixture
def unread() -> Iterator[int]:
    """Yield a pipe that nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


def run(
    redis: RedisServer, folder: Path, arguments: Sequence[str], *, closed: str = "", out: int = -1, err: int = -1
) -> subprocess.CompletedProcess[str]:
    """Run `tollgate` with these streams; `closed` is a redirection of the shell."""
    command = [sys.executable, "-m", "proxy.cli.main", *arguments]
    environment = {**os.environ, "TOLLGATE_REDIS_URL": redis.url, "TOLLGATE_DATA_DIR": str(folder)}
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *command],
        stdout=out,
        stderr=err,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    )


@pytest.mark.slow
def test_output_that_nobody_reads_any_more_is_no_traceback(
    redis_server: RedisServer, tmp_path: Path, commands: Sequence[Sequence[str]], unread: int
) -> None:
    for command in commands:
        done = run(redis_server, tmp_path, command, out=unread)
        assert (done.stderr, done.returncode in (0, 1)) == ("", True), command  # 0: there was nothing to print


@pytest.mark.slow
def test_output_that_was_closed_before_is_no_traceback(
    redis_server: RedisServer, tmp_path: Path, commands: Sequence[Sequence[str]]
) -> None:
    for command in commands:
        done = run(redis_server, tmp_path, command, closed=">&-")
        assert (done.stderr, done.returncode) == ("", 0), command


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code"), [(UNKNOWN_APP, 1), (UNKNOWN_OPTION, 2), (("--config", "none", "check"), 2)]
)
def test_errors_that_nobody_reads_leave_the_exit_code(
    redis_server: RedisServer, tmp_path: Path, unread: int, command: Sequence[str], code: int
) -> None:
    for done in (
        run(redis_server, tmp_path, command, err=unread),
        run(redis_server, tmp_path, command, closed="2>&-"),
    ):
        assert (done.stdout, done.returncode) == ("", code)


@pytest.mark.slow
def test_errors_that_a_full_disk_does_not_take_leave_the_exit_code(redis_server: RedisServer, tmp_path: Path) -> None:
    done = run(redis_server, tmp_path, ("--config", "none", "check"), closed="2>/dev/full")
    assert (done.stdout, done.returncode) == ("", 2)
