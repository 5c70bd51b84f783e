"""Settings that parse and cannot be used: one line and an exit code, no traceback."""

import os
from pathlib import Path

import pytest

from proxy.store.fingerprint import NAME
from tests.cli.conftest import Tollgate, call, forked
from tests.store.servers import RedisServer

COMMANDS = {"serve": 2, "demo": 2, "apps list": 3}
"""Exit codes of commands on a data directory that cannot be used; of it, `apps` needs the embedded Redis alone."""


NAMES = ("a file", "below a file", "parent missing for good", "read-only", "too long")


def unusable(folder: Path) -> dict[str, tuple[Path, str]]:
    """Return a data directory that cannot be used by each of the `NAMES`, with what is said of it."""
    (folder / "file").touch()
    return {
        "a file": (folder / "file", ""),
        "below a file": (folder / "file" / "data", "Not a directory"),
        "parent missing for good": (Path("/proc/tollgate/data"), "No such file or directory"),
        "read-only": (Path("/proc"), ""),
        "too long": (folder / ("x" * 300), "File name too long"),
    }


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", NAMES)
def test_an_unusable_data_dir_is_one_line(tmp_path: Path, command: str, name: str) -> None:
    data_dir, reason = unusable(tmp_path)[name]
    listeners = {"TOLLGATE_LISTEN": "127.0.0.1:0", "TOLLGATE_ADMIN_LISTEN": "127.0.0.1:0"}
    done = forked(tmp_path, *command.split(), TOLLGATE_DATA_DIR=str(data_dir), **listeners)
    assert (done.code, done.out) == (COMMANDS[command], ""), done.err
    assert done.err.count("\n") == 1, done.err
    assert f"{data_dir} cannot be used: " in done.err
    assert reason in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_dir_without_permission_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    done = forked(tmp_path, "serve", TOLLGATE_DATA_DIR=str(tmp_path / "data"))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "cannot be used: Permission denied" in done.err


@pytest.mark.parametrize("name", ["metrics", "journal"])
def test_a_file_in_place_of_a_folder_of_the_data_dir_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    done = call("serve", TOLLGATE_DATA_DIR=str(tmp_path))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "cannot be used: Not a directory" in done.err


def test_commands_refuse_data_that_was_written_under_other_settings(
    tollgate: Tollgate, client_id: str, redis_server: RedisServer
) -> None:
    tollgate("credits", "grant", "--app", client_id, "5")
    assert "hash_tags" in redis_server.ask("GET", NAME)
    for command in (
        ("apps", "create", "x", "--plan", "free"),
        ("credits", "grant", "--app", client_id, "5"),
        ("verify",),
    ):
        done = tollgate(*command, TOLLGATE_STORE__HASH_TAGS="8")
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert "store.hash_tags: is 8, but the data in Redis was written with 16" in done.err
    assert len(tollgate("apps", "list", "--json").json) == 1


def test_serve_refuses_data_that_was_written_under_other_settings(tmp_path: Path, redis_server: RedisServer) -> None:
    written = '{"hash_tags":8,"currency":"ETH","decimals":18,"keys_version":1}'
    redis_server.ask("SET", NAME, written)
    listeners = {"TOLLGATE_LISTEN": "127.0.0.1:0", "TOLLGATE_ADMIN_LISTEN": "127.0.0.1:0"}
    done = forked(tmp_path, "serve", TOLLGATE_REDIS_URL=redis_server.url, **listeners)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "store.hash_tags: is 16, but the data in Redis was written with 8" in done.err
    assert written in redis_server.ask("GET", NAME)
