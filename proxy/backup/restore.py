"""Restores a backup into a data directory that nobody uses."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import unquote

import msgspec
from redis.asyncio import Redis
from ulid import ULID

from config.settings import Settings
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.store import StoreUnavailable
from proxy.backup import swap
from proxy.backup.files import PRIVATE_FOLDER, copy, sync_tree
from proxy.backup.layout import DATABASES, JOURNALS, REDIS, SNAPSHOT
from proxy.backup.manifest import BadBackup, Manifest, check_files, load
from proxy.backup.pin import moving, unpin
from proxy.backup.swap import STAGING, Swap
from proxy.store import fingerprint
from proxy.store.embedded import supervisor
from proxy.store.embedded.redis_process import EmbeddedRedis
from proxy.store.fingerprint import Fingerprint

_LOADED = "appendonly.aof"
"""Under this name every Redis reads a snapshot at its start, as the beginning of its log."""
_LOAD_SECONDS = 30.0


class RestoreFailed(Exception):
    """Nothing was changed; the message says why, and what to do."""


class Restored(msgspec.Struct, frozen=True):
    """Outcome of a restore."""

    backup: str
    begun: str
    changed: bool
    """False: the data directory had this backup already."""
    aside: str
    """Folder with what was there before; empty: nothing was."""


async def restore(source: Path, keys: RedisKeys, settings: Settings, *, force: bool) -> Restored:
    """Make the data directory of `settings` what the backup in `source` has.

    A backup that was restored last is left alone, whatever has happened to the data since; with `force` it is restored
    again. Where there is data, `force` moves it aside. Raises `RestoreFailed` and `BadBackup`.
    """
    manifest = load(source)
    _check_fingerprint(manifest, settings)
    check_files(source, manifest)
    data_dir = settings.data_dir.absolute()
    try:
        data_dir.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        with _unused(data_dir):
            swap.finish(data_dir)
            previous, old = swap.last(data_dir), swap.contents(data_dir)
            if previous is not None and previous.backup == manifest.id and old and not force:
                return Restored(manifest.id, manifest.begun, changed=False, aside="")
            if old and not force:
                raise RestoreFailed(
                    f"{data_dir} has data ({', '.join(old)}): choose an empty data_dir, or --force, which moves it "
                    "aside"
                )
            _copy(source, manifest, data_dir / STAGING)
            await _load_redis(data_dir / STAGING, manifest, moving(keys))
            new = _ready(data_dir / STAGING)
            aside = f"replaced-{ULID()}" if old else ""
            swap.begin(data_dir, Swap(manifest.id, aside, old, new))
            shutil.rmtree(data_dir / STAGING, ignore_errors=True)
            return Restored(manifest.id, manifest.begun, changed=True, aside=str(data_dir / aside) if aside else "")
    except OSError as error:
        raise RestoreFailed(f"{error.filename or data_dir}: {error.strerror}") from None


def _check_fingerprint(manifest: Manifest, settings: Settings) -> None:
    """Raise `BadBackup` for data that was written under other settings."""
    if differences := list(fingerprint.differences(manifest.fingerprint, Fingerprint.of(settings))):
        raise BadBackup("this backup is of another deployment: " + "; ".join(map(str, differences)))


def _copy(source: Path, manifest: Manifest, staging: Path) -> None:
    """Copy the backup to `staging`, each file to the place where it is used."""
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=PRIVATE_FOLDER)
    for name in manifest.files:
        folder, _, rest = name.partition("/")
        if name == SNAPSHOT:
            copy(source / name, staging / REDIS / _LOADED)
        elif folder == DATABASES:
            copy(source / name, staging / rest)
        else:
            copy(source / name, staging / name)
    (staging / JOURNALS).mkdir(mode=PRIVATE_FOLDER, exist_ok=True)


def _ready(staging: Path) -> list[str]:
    """Return the names of what is ready, once all of it is on disk."""
    for left in (supervisor.LOG, "socket.path"):
        (staging / REDIS / left).unlink(missing_ok=True)
    sync_tree(staging)
    return sorted(path.name for path in staging.iterdir())


async def _load_redis(staging: Path, manifest: Manifest, streams: Sequence[str]) -> None:
    """Start Redis on the staged snapshot, see that it is what the manifest says, and stop it."""
    try:
        with EmbeddedRedis.acquire(staging, timeout=_LOAD_SECONDS) as server:
            redis = Redis(unix_socket_path=unquote(server.url.removeprefix("unix://")), socket_timeout=_LOAD_SECONDS)
            try:
                stored = await redis.get(fingerprint.NAME)
                if stored and msgspec.json.decode(stored, type=Fingerprint) != manifest.fingerprint:
                    raise BadBackup("the backup's Redis is not the one of its manifest; use another backup")
                await unpin(redis, streams)
            finally:
                await redis.aclose()
    except StoreUnavailable as error:
        raise RestoreFailed(
            f"Redis cannot load the backup, which was written by Redis {manifest.redis}: {error}"
        ) from None


@contextmanager
def _unused(data_dir: Path) -> Iterator[None]:
    """Keep everybody else away from the data. Raises `RestoreFailed` where somebody uses it."""
    redis = data_dir / REDIS
    redis.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    owners, journals = redis / supervisor.OWNERS, sorted((data_dir / JOURNALS).glob("*.journal"))
    with ExitStack() as stack:
        for path in (owners, redis / supervisor.SUPERVISOR, *journals):
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, file)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RestoreFailed(f"{data_dir} is in use: stop Tollgate and its commands first") from None
        yield
