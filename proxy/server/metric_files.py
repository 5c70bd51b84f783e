"""The folder in which the processes of one run share their metrics."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def prepare(data_dir: Path) -> Path:
    """Make a folder for this run, put it into `PROMETHEUS_MULTIPROC_DIR`, and remove the folders of runs that ended.

    Must be called before `prometheus_client` is imported: it looks at that variable only then.
    """
    folders = data_dir.absolute() / "metrics"
    for old in folders.glob("*"):
        if not _is_running(old.name):
            shutil.rmtree(old, ignore_errors=True)
    folder = folders / str(os.getpid())
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    return folder


def _is_running(process: str) -> bool:
    """Return True if there is a process of this id."""
    with contextlib.suppress(ValueError, ProcessLookupError):
        os.kill(int(process), 0)
        return True
    return False
