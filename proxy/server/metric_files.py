"""The folder in which the processes of one run share their metrics.

Each process of a run holds a shared lock on its folder, which the kernel drops when the process ends, however it does.
So a folder that can be locked exclusively belongs to nobody. A process id would not say that: ids are used again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_OWNERS = "owners.lock"
"""File in each folder that its owners hold locked."""
_SWEEP = "sweep.lock"
"""File beside the folders, locked while one is made: without it, a folder could be removed before it is owned."""


def prepare(data_dir: Path) -> Path:
    """Make a folder for this run, own it until this process ends, and remove the folders that nobody owns.

    Puts the folder into `PROMETHEUS_MULTIPROC_DIR`. Must be called before `prometheus_client` is imported: it looks at
    that variable only then. Raises `OSError`.
    """
    folders = data_dir.absolute() / "metrics"
    folders.mkdir(parents=True, exist_ok=True)
    sweep = _open(folders / _SWEEP)
    try:
        fcntl.flock(sweep, fcntl.LOCK_EX)
        for old in folders.iterdir():
            if old.is_dir() and not _is_owned(old):
                shutil.rmtree(old, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=folders))
        own(folder)
    finally:
        os.close(sweep)
    os.environ[VARIABLE] = str(folder)
    return folder


def own(folder: Path) -> None:
    """Own `folder` until this process ends; a worker may outlive its supervisor. Raises `OSError`."""
    fcntl.flock(_open(folder / _OWNERS), fcntl.LOCK_SH)  # the descriptor stays open, and with it the lock


def own_inherited() -> None:
    """Own the folder of the supervisor that started this process, where it made one. Raises `OSError`."""
    if folder := os.environ.get(VARIABLE):
        own(Path(folder))


def _is_owned(folder: Path) -> bool:
    """Return True while a process owns `folder`."""
    owners = _open(folder / _OWNERS)
    try:
        fcntl.flock(owners, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(owners)
    return False


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
