"""The embedded Redis: one per data directory, there while it is owned, back when it dies, gone with its last owner."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from middlewares.store import StoreUnavailable
from proxy.store.address import Address
from proxy.store.embedded import socket_path, supervisor
from proxy.store.embedded.redis_process import EmbeddedRedis
from tests.store.servers import binaries, bundled, eventually, processes_of

pytestmark = pytest.mark.usefixtures("nothing_left")

OWNER = """
import json, sys, time
from pathlib import Path
from proxy.store.embedded.redis_process import EmbeddedRedis
with EmbeddedRedis.acquire(Path(sys.argv[1])) as redis:
    print(json.dumps(redis.url), flush=True)
    sys.stdin.read()
"""


def ask(redis: EmbeddedRedis, command: str) -> str:
    return supervisor.send_inline(redis.url.removeprefix("unix://"), command.encode(), 1).decode()


def servers(data_dir: Path) -> list[psutil.Process]:
    return _those_of(data_dir, lambda process: process.name() == "redis-server")


def supervisors(data_dir: Path) -> list[psutil.Process]:
    return _those_of(data_dir, lambda process: "supervisor.py" in " ".join(process.cmdline()))


def _those_of(data_dir: Path, wanted: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    found = []
    for process in processes_of(data_dir):
        with contextlib.suppress(psutil.Error):  # it may end while it is looked at
            if wanted(process):
                found.append(process)
    return found


def append_only_file(data_dir: Path) -> Path:
    """The file that is appended to: one of several parts since version 7."""
    directory = data_dir / "redis"
    return next(directory.rglob("*.incr.aof"), directory / "appendonly.aof")


def owner(data_dir: Path) -> subprocess.Popen[str]:
    """Another process that owns the Redis of `data_dir` until its standard input ends."""
    command = [sys.executable, "-c", OWNER, str(data_dir)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    url: str = json.loads(process.stdout.readline())
    return url


def end(process: subprocess.Popen[str]) -> None:
    process.communicate()


def test_owners_share_one_server_and_the_last_one_stops_it(tmp_path: Path) -> None:
    with EmbeddedRedis.acquire(tmp_path) as first:
        with EmbeddedRedis.acquire(tmp_path) as second:
            assert first.url == second.url
            assert ask(second, "SET k v").startswith("+OK")
        assert ask(first, "GET k").startswith("$1\r\nv")
        assert len(servers(tmp_path)) == len(supervisors(tmp_path)) == 1
    assert not processes_of(tmp_path)


def test_data_survives_the_last_owner(tmp_path: Path) -> None:
    with EmbeddedRedis.acquire(tmp_path) as redis:
        ask(redis, "SET k v")
    with EmbeddedRedis.acquire(tmp_path) as redis:
        assert ask(redis, "GET k").startswith("$1\r\nv")


def test_release_twice_is_release_once(tmp_path: Path) -> None:
    redis = EmbeddedRedis.acquire(tmp_path)
    redis.release()
    redis.release()


def test_it_listens_on_no_tcp_port_and_only_its_user_reaches_the_socket(tmp_path: Path) -> None:
    with EmbeddedRedis.acquire(tmp_path) as redis:
        assert not [c for p in processes_of(tmp_path) for c in p.net_connections("inet")]
        assert Path(redis.url.removeprefix("unix://")).stat().st_mode & 0o077 == 0
        assert (tmp_path / "redis").stat().st_mode & 0o077 == 0


@pytest.mark.ci
def test_eight_owners_at_once_start_one_server(tmp_path: Path) -> None:
    owners = [owner(tmp_path) for _ in range(8)]
    assert len({url_of(process) for process in owners}) == 1
    assert len(servers(tmp_path)) == len(supervisors(tmp_path)) == 1
    for process in owners:
        end(process)
    assert not processes_of(tmp_path)


async def test_killed_owners_leave_nothing_running(tmp_path: Path) -> None:
    owners = [owner(tmp_path) for _ in range(3)]
    for process in owners:
        url_of(process)
    for process in owners:
        process.kill()
    await eventually(lambda: not processes_of(tmp_path))
    for process in owners:
        end(process)


@pytest.mark.ci
async def test_a_killed_server_comes_back_with_its_data(tmp_path: Path) -> None:
    with EmbeddedRedis.acquire(tmp_path) as redis:
        for round_ in range(3):
            ask(redis, f"SET k{round_} v")
            servers(tmp_path)[0].kill()
            await eventually(lambda n=round_: ask(redis, f"GET k{n}").startswith("$1\r\nv"), within=5)  # type: ignore[misc]


async def test_a_killed_supervisor_takes_the_server_with_it_and_the_next_owner_starts_both(tmp_path: Path) -> None:
    with EmbeddedRedis.acquire(tmp_path) as redis:
        ask(redis, "SET k v")
        supervisors(tmp_path)[0].kill()
        await eventually(lambda: not servers(tmp_path))
        with EmbeddedRedis.acquire(tmp_path) as next_owner:
            assert ask(next_owner, "GET k").startswith("$1\r\nv")
    assert not processes_of(tmp_path)


async def test_an_owner_that_looks_for_the_server_replaces_a_killed_supervisor(tmp_path: Path) -> None:
    with EmbeddedRedis.acquire(tmp_path) as redis:
        killed = supervisors(tmp_path)[0]
        killed.kill()

        async def replaced() -> bool:
            await redis.locate()
            return ask(redis, "PING") == "+PONG\r\n" and killed not in supervisors(tmp_path)

        await eventually(replaced)


def test_a_server_left_behind_is_never_joined_by_a_second_on_the_same_file(tmp_path: Path) -> None:
    directory = tmp_path / "redis"
    directory.mkdir()
    lock = supervisor.try_lock(directory / supervisor.SERVER)
    assert lock is not None
    command = [binaries(tmp_path)[0], *supervisor.options(directory, str(directory / "redis.sock"))]
    left_behind = subprocess.Popen(command, pass_fds=(lock,), stdout=subprocess.DEVNULL)
    os.close(lock)
    while not supervisor.send_inline(str(directory / "redis.sock"), b"SET k v", 1):
        assert left_behind.poll() is None
    with EmbeddedRedis.acquire(tmp_path) as redis:
        left_behind.wait()
        asyncio.run(eventually(lambda: ask(redis, "GET k").startswith("$1\r\nv")))
        assert len(servers(tmp_path)) == 1


@pytest.mark.ci
def test_a_frozen_server_left_behind_is_waited_for(tmp_path: Path) -> None:
    directory = tmp_path / "redis"
    directory.mkdir()
    lock = supervisor.try_lock(directory / supervisor.SERVER)
    assert lock is not None
    holder = subprocess.Popen(["sleep", "1000"], pass_fds=(lock,), cwd=directory)
    os.close(lock)
    with pytest.raises(StoreUnavailable, match="does not start"):
        EmbeddedRedis.acquire(tmp_path, timeout=0.5)
    holder.kill()
    holder.wait()
    EmbeddedRedis.acquire(tmp_path).release()


def test_signals_of_a_service_manager_do_not_stop_it_before_its_owners_do(tmp_path: Path) -> None:
    with EmbeddedRedis.acquire(tmp_path) as redis:
        ask(redis, "SET k v")
        for process in processes_of(tmp_path):
            process.send_signal(signal.SIGTERM)
        asyncio.run(eventually(lambda: ask(redis, "GET k").startswith("$1\r\nv")))


def test_a_torn_append_only_file_loses_its_last_command_only(tmp_path: Path) -> None:
    with EmbeddedRedis.acquire(tmp_path) as redis:
        ask(redis, "SET k v")
    log = append_only_file(tmp_path)
    log.write_bytes(log.read_bytes() + b"*3\r\n$3\r\nSET\r\n$1\r\nj")
    with EmbeddedRedis.acquire(tmp_path) as redis:
        assert ask(redis, "GET k").startswith("$1\r\nv")


def test_a_server_that_cannot_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with EmbeddedRedis.acquire(tmp_path) as redis:
        ask(redis, "SET k v")
    log = append_only_file(tmp_path)
    log.write_bytes(b"this is no append only file\r\n")
    with pytest.raises(StoreUnavailable, match=r"(?i)does not start.*bad file format") as caught:
        EmbeddedRedis.acquire(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        StoreUnavailable, match=r"file/data cannot be used: Not a directory; choose .* TOLLGATE_DATA_DIR"
    ):
        EmbeddedRedis.acquire(tmp_path / "file" / "data")


def test_no_server_program_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(StoreUnavailable, match=r"found none: install one, or set TOLLGATE_REDIS_URL"):
        EmbeddedRedis.acquire(tmp_path)


def test_the_bundled_server_serves_where_the_system_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with EmbeddedRedis.acquire(tmp_path) as redis:
        assert ask(redis, "PING") == "+PONG\r\n"
        assert servers(tmp_path)[0].exe() == bundled(tmp_path)


def test_an_ancient_server_on_the_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ancient = tmp_path / "bin" / "redis-server"
    ancient.parent.mkdir()
    ancient.write_text("#!/bin/sh\necho 'Redis server v=5.0.7 sha=00000000:0'\n")
    ancient.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ancient.parent}:/bin")
    with EmbeddedRedis.acquire(tmp_path) as redis:
        assert ask(redis, "PING") == "+PONG\r\n"


def test_an_older_server_does_not_start_empty_beside_newer_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "redis" / "appendonlydir").mkdir(parents=True)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StoreUnavailable, match=r"needs redis-server or valkey-server 7\.0 or newer .* only .*\(6\.2\)"):
        EmbeddedRedis.acquire(tmp_path)


def test_a_long_path_moves_the_socket_to_a_private_folder_that_others_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = tmp_path / ("long" * 30)
    with EmbeddedRedis.acquire(data_dir) as redis:
        folder = Path(redis.url.removeprefix("unix://")).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        monkeypatch.setenv("TMPDIR", str(tmp_path))  # as for a service with a temporary folder of its own
        process = owner(data_dir)
        assert url_of(process) == redis.url
        end(process)
    assert not folder.exists()


def test_somebody_elses_folder_is_not_used_for_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    directory = tmp_path / ("long" * 30)
    directory.mkdir()
    folder = Path(socket_path.settle(directory)).parent
    folder.chmod(0o777)
    with pytest.raises(StoreUnavailable, match="choose a shorter TOLLGATE_DATA_DIR"):
        socket_path.settle(directory)
    folder.rmdir()


def test_any_name_will_do_for_the_directory(tmp_path: Path) -> None:
    with EmbeddedRedis.acquire(tmp_path / "sp ace 'q\" % ? @ #ä") as redis:
        address = Address.parse(redis.url).endpoints[0].path
        assert supervisor.send_inline(address, b"PING", 1) == b"+PONG\r\n"


def test_a_copied_directory_does_not_lead_to_the_socket_of_its_original(tmp_path: Path) -> None:
    original, copy = tmp_path / ("long" * 30), tmp_path / ("copy" * 30)
    original.mkdir()
    folder = Path(socket_path.settle(original)).parent
    original.rename(copy)
    assert socket_path.known(copy) is None
    folder.rmdir()
