"""Checks that `data_dir` can be used, before anything is started that would fail in the middle of it."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from config.loader import ConfigError, Problem
from config.settings import Settings

FOLDERS = ("metrics", "journal", "issuer")
"""Folders in `data_dir` that a server writes to, whichever Redis it uses; the embedded one checks its own."""


def require_data_dir(settings: Settings) -> None:
    """Make the data directory and its folders. Raises `ConfigError`, with one line, where they cannot be written to."""
    data_dir = settings.data_dir
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in FOLDERS:
            folder = data_dir / name
            folder.mkdir(mode=0o700, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"probe")
    except OSError as error:
        raise unusable(data_dir, _reason(error)) from None
    except ValueError:  # a NUL byte in the path
        raise unusable(data_dir, "it is not a path") from None


def unusable(data_dir: Path, reason: str) -> ConfigError:
    """Return the error that says why `data_dir` cannot be used, and what to do."""
    return ConfigError([Problem("data_dir", f"{data_dir} cannot be used: {reason}; choose another folder")])


def _reason(error: OSError) -> str:
    if error.errno == errno.EEXIST:  # from mkdir: what is there is no folder
        return os.strerror(errno.ENOTDIR)
    return error.strerror or str(error)
