"""Where the processes of one run keep the metrics that they share."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def prepare(data_dir: Path) -> Path:
    """A fresh folder for this run, named in `PROMETHEUS_MULTIPROC_DIR`; folders of runs that ended are removed.

    Must be called before `prometheus_client` is imported: it looks at that variable only then.
    """
    folders = data_dir.absolute() / "metrics"
    for old in folders.glob("*"):
        if not _runs(old.name):
            shutil.rmtree(old, ignore_errors=True)
    folder = folders / str(os.getpid())
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    return folder


def _runs(process: str) -> bool:
    with contextlib.suppress(ValueError, ProcessLookupError):
        os.kill(int(process), 0)
        return True
    return False
