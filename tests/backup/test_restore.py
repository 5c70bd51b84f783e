"""What is no backup, damaged, newer or of another deployment is refused; data in the way is never lost."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from config.settings import Settings
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.store import StoreUnavailable
from proxy.backup import files, manifest, swap
from proxy.backup.backup import BackupFailed, take
from proxy.backup.manifest import BadBackup
from proxy.backup.pin import PREFIX
from proxy.backup.restore import Restored, RestoreFailed, restore
from proxy.backup.sources import SnapshotFailed
from proxy.cli.main import app as command
from proxy.store.configured import claim_fingerprint, open_store, redis_keys
from proxy.store.embedded.redis_process import EmbeddedRedis
from tests.backup.test_under_load import tree

pytestmark = pytest.mark.ci


KEYS = RedisKeys(16, cluster=False)


def settings_of(folder: Path, **more: object) -> Settings:
    return Settings(data_dir=folder, **more)  # type: ignore[arg-type]


def run_restore(source: Path, settings: Settings, *, force: bool = False) -> Restored:
    return asyncio.run(restore(source, redis_keys(settings), settings, force=force))


def write_data(folder: Path, value: str) -> None:
    """Make a data directory with a key in Redis, a row in a database, and a line that a journal keeps."""

    async def fill() -> None:
        async with await open_store(settings_of(folder)) as store:
            await claim_fingerprint(store, settings_of(folder))
            await store.redis.set("value", value)
            await store.redis.xadd(KEYS.shared(KEYS.tags[3]).events, {"event": value})

    asyncio.run(fill())
    with closing(sqlite3.connect(folder / "history.sqlite")) as database:
        database.execute("pragma journal_mode = wal")
        database.execute("create table if not exists t (value text)")
        database.execute("insert into t values (?)", (value,))
        database.commit()
    (folder / "journal").mkdir(exist_ok=True)
    (folder / "journal" / "rejected").write_text(f"{value}\ntorn")


def read_data(folder: Path) -> tuple[str, list[str], str]:
    async def get() -> str:
        async with await open_store(settings_of(folder)) as store:
            for tag in KEYS.tags:
                if await store.redis.exists(KEYS.shared(tag).events):
                    groups = await store.redis.xinfo_groups(KEYS.shared(tag).events)
                    assert not [each for each in groups if each["name"].decode().startswith(PREFIX)]
            found: Any = await store.redis.get("value")
            return found.decode() if found else ""

    with closing(sqlite3.connect(folder / "history.sqlite")) as database:
        rows = [row[0] for row in database.execute("select value from t")]
    return asyncio.run(get()), rows, (folder / "journal" / "rejected").read_text()


def take_backup(folder: Path, target: Path) -> Path:
    async def work() -> None:
        async with await open_store(settings_of(folder)) as store:
            await take(store.redis, KEYS, settings_of(folder), target)  # type: ignore[arg-type]

    asyncio.run(work())
    return target


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    write_data(tmp_path / "data", "one")
    return take_backup(tmp_path / "data", tmp_path / "backup")


def test_all_of_it_and_for_its_owner_only(tmp_path: Path, backup: Path) -> None:
    run_restore(backup, settings_of(tmp_path / "new"))
    assert read_data(tmp_path / "new") == ("one", ["one"], "one\n")
    assert {path.stat().st_mode & 0o777 for path in backup.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (backup, backup / "journal", backup / "sqlite")} == {0o700}
    kept = [tmp_path / "new" / name for name in ("history.sqlite", "journal/rejected", "restored.json")]
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".backup")]


def test_a_second_restore_changes_nothing_and_a_forced_one_loses_nothing(tmp_path: Path, backup: Path) -> None:
    settings = settings_of(tmp_path / "new")
    run_restore(backup, settings)
    write_data(tmp_path / "new", "two")
    before = tree(tmp_path / "new")
    assert not run_restore(backup, settings).changed
    assert tree(tmp_path / "new") == before
    done = run_restore(backup, settings, force=True)
    assert read_data(tmp_path / "new") == ("one", ["one"], "one\n")
    assert read_data(Path(done.aside)) == ("two", ["one", "two"], "two\ntorn")


def test_data_in_the_way(tmp_path: Path, backup: Path) -> None:
    write_data(tmp_path / "other", "two")
    with pytest.raises(RestoreFailed, match="--force"):
        run_restore(backup, settings_of(tmp_path / "other"))
    assert read_data(tmp_path / "other") == ("two", ["two"], "two\ntorn")


def test_data_in_use(tmp_path: Path, backup: Path) -> None:
    with EmbeddedRedis.acquire(tmp_path / "new"), pytest.raises(RestoreFailed, match="in use"):
        run_restore(backup, settings_of(tmp_path / "new"), force=True)


@pytest.mark.slow
@pytest.mark.parametrize("force", [False, True], ids=["empty", "force"])
def test_interrupted_at_any_step_the_next_one_finishes(
    tmp_path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    """Until then Redis does not start, and what was there is in one of two places."""
    steps = 0
    while True:
        folder = tmp_path / f"new{steps}"
        if force:
            write_data(folder, "two")
        left = steps

        def interrupted(source: Path, target: Path) -> None:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            files.rename(source, target)

        monkeypatch.setattr(swap, "rename", interrupted)
        try:
            run_restore(backup, settings_of(folder), force=force)
        except KeyboardInterrupt:
            with pytest.raises(StoreUnavailable, match="run `tollgate restore` again"):
                EmbeddedRedis.acquire(folder)
        else:
            break
        monkeypatch.setattr(swap, "rename", files.rename)
        assert not run_restore(backup, settings_of(folder)).changed, "the interrupted one was this backup's"
        assert read_data(folder) == ("one", ["one"], "one\n")
        if force:
            [aside] = folder.glob("replaced-*")
            assert read_data(aside) == ("two", ["two"], "two\ntorn")
        steps += 1
    assert steps == (6 if force else 3)


def rewrite(backup: Path, **changes: object) -> None:
    """Change the manifest as another Tollgate would have written it."""
    import hashlib

    signed = json.loads((backup / manifest.NAME).read_text())
    text = json.dumps(signed["manifest"] | changes, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    (backup / manifest.NAME).write_text(f'{{"manifest":{text},"sha256":"{digest}"}}')


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ["redis.rdb", "sqlite/history.sqlite", "journal/rejected", manifest.NAME])
@pytest.mark.parametrize("how", ["bit", "cut", "gone"])
def test_damaged(tmp_path: Path, backup: Path, name: str, how: str) -> None:
    path = backup / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data if how == "bit" else data[:-2])
    with pytest.raises(BadBackup, match=r"damaged|no backup|newer"):
        run_restore(backup, settings_of(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_foreign_newer_and_strange(tmp_path: Path, backup: Path) -> None:
    new = settings_of(tmp_path / "new")
    with pytest.raises(BadBackup, match="no backup of Tollgate"):
        run_restore(tmp_path, new)
    with pytest.raises(BadBackup, match=r"store\.hash_tags: is 8"):
        run_restore(backup, settings_of(tmp_path / "new", store={"hash_tags": 8}))
    with pytest.raises(BadBackup, match=r"currency\.code: is USD"):
        run_restore(backup, settings_of(tmp_path / "new", currency={"code": "USD"}))
    (backup / "more").write_text("")
    with pytest.raises(BadBackup, match="does not know, such as more"):
        run_restore(backup, new)
    (backup / "more").unlink()
    for changes in ({"program": "99.0.0"}, {"format": 2}):
        copied = tmp_path / "copied"
        shutil.copytree(backup, copied)
        rewrite(copied, **changes)
        with pytest.raises(BadBackup, match="that version or a newer one"):
            run_restore(copied, new)
        shutil.rmtree(copied)
    assert not (tmp_path / "new").exists()


def test_a_snapshot_that_redis_cannot_load(tmp_path: Path, backup: Path) -> None:
    text = b"REDIS0099" + os.urandom(40)
    (backup / "redis.rdb").write_bytes(text)
    known = {name: {"size": each.size, "sha256": each.sha256} for name, each in manifest.describe(backup).items()}
    known.pop(manifest.NAME)
    rewrite(backup, files=known)
    with pytest.raises(RestoreFailed, match="Redis cannot load the backup, which was written by Redis"):
        run_restore(backup, settings_of(tmp_path / "new"))
    assert swap.contents(tmp_path / "new") == []


def test_two_at_once_and_a_folder_that_is_taken(tmp_path: Path, backup: Path) -> None:
    import fcntl

    with pytest.raises(BackupFailed, match="exists already"):
        take_backup(tmp_path / "data", backup)
    with (tmp_path / "data" / "backup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BackupFailed, match="another backup"):
            take_backup(tmp_path / "data", tmp_path / "second")


def test_a_snapshot_that_fails_leaves_nothing(tmp_path: Path, backup: Path) -> None:
    """A folder stands where Redis renames its snapshot to."""
    (tmp_path / "data" / "redis" / "dump.rdb").mkdir()
    with pytest.raises((SnapshotFailed, BackupFailed)):
        take_backup(tmp_path / "data", tmp_path / "second")
    assert not [path for path in tmp_path.iterdir() if "second" in path.name]


def test_data_elsewhere_is_refused(tmp_path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_REDIS_URL", "redis://127.0.0.1:1")
    for arguments in (["backup", str(tmp_path / "second")], ["restore", str(backup)]):
        done = CliRunner().invoke(command, arguments)
        assert done.exit_code == 2
        assert "redis_url names a Redis elsewhere" in done.stderr
