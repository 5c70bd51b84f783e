"""The embedded store: a real Redis server owned by Tollgate, one per data directory.

Workers and CLI processes own it together; it starts with the first and stops with the last, as `supervisor.py` says.
"""

import asyncio
import fcntl
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from middlewares.store import StoreUnavailable
from proxy.store.address import Endpoint
from proxy.store.embedded import socket_path, supervisor
from proxy.store.embedded.binary import find_server

INTERRUPTED = "restore-interrupted.json"
"""File in a data directory while a restore replaces what is in it."""

_POLL_SECONDS = 0.02
_PING_SECONDS = 1.0
_RELEASE_SECONDS = 10.0
_LOG_LINES = 3


class EmbeddedRedis:
    """One owner's share in the Redis of a data directory. All methods but `locate` block."""

    def __init__(self, directory: Path, share: int, socket: str) -> None:
        self._directory = directory
        self._share: int | None = share
        self._socket = socket

    @classmethod
    def acquire(cls, data_dir: Path, *, timeout: float = 10.0) -> Self:
        """Own the Redis of `data_dir`, which is started unless it runs already.

        Waits `timeout` seconds for it to reply, longer while it is loading its data. Raises `StoreUnavailable`.
        """
        directory = data_dir.resolve() / "redis"
        try:
            if (data_dir / INTERRUPTED).exists():
                raise StoreUnavailable(f"a restore into {data_dir} was interrupted: run `tollgate restore` again")
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.mkdir(mode=0o700, exist_ok=True)
            share = _share(directory, timeout)
            try:
                return cls(directory, share, _await_server(directory, timeout))
            except BaseException:
                os.close(share)
                raise
        except OSError as error:
            raise StoreUnavailable(
                f"the data directory {data_dir} cannot be used: {error.strerror}; choose another by TOLLGATE_DATA_DIR"
            ) from None

    @property
    def url(self) -> str:
        """Return the store address of the server, `unix:///...`."""
        return f"unix://{quote(self._socket)}"

    async def locate(self) -> Endpoint:
        """Return the server's socket, once a supervisor that was killed is replaced: the server comes back with it."""
        await asyncio.to_thread(_start_supervisor, self._directory)
        return Endpoint(path=socket_path.known(self._directory) or self._socket)

    def release(self) -> None:
        """Give up this share. The last owner waits until the server has saved its data and is gone."""
        if self._share is None:
            return
        share, self._share = self._share, None
        try:
            fcntl.flock(share, fcntl.LOCK_EX | fcntl.LOCK_NB)
            last = True
        except BlockingIOError:
            last = False
        os.close(share)
        give_up = time.monotonic() + _RELEASE_SECONDS
        while last and _is_supervised(self._directory) and time.monotonic() < give_up:
            time.sleep(_POLL_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _share(directory: Path, timeout: float) -> int:
    """Return an open, shared lock on `owners.lock`; wait for a server that is just stopping."""
    share = os.open(directory / supervisor.OWNERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    give_up = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(share, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                os.close(share)
                raise StoreUnavailable(f"the Redis in {directory} has been stopping for {timeout:g} s") from None
            time.sleep(_POLL_SECONDS)
        else:
            return share


def _await_server(directory: Path, timeout: float) -> str:
    """Return the socket of the server once it replies there. Call with a share in hand."""
    log = directory / supervisor.LOG
    read = log.stat().st_size if log.exists() else 0
    give_up = time.monotonic() + timeout
    started = _start_supervisor(directory)
    while time.monotonic() < give_up:
        if socket := socket_path.known(directory):
            reply = supervisor.send_inline(socket, b"PING", _PING_SECONDS)
            if reply.startswith(b"+PONG"):
                return socket
            if reply.startswith(b"-LOADING"):
                give_up = time.monotonic() + timeout
        if not _is_supervised(directory):
            if started:
                break
            started = _start_supervisor(directory)
        time.sleep(_POLL_SECONDS)
    lines = log.read_bytes()[read:].decode(errors="replace").split("\n") if log.exists() else []
    tail = " | ".join([line.strip() for line in lines if line.strip()][-_LOG_LINES:])
    raise StoreUnavailable(f"the embedded Redis in {directory} does not start; {log} ends with: {tail or 'nothing'}")


def _start_supervisor(directory: Path) -> bool:
    """Start the supervisor unless one runs; return True if it was needed."""
    lock = supervisor.try_lock(directory / supervisor.SUPERVISOR)
    if lock is None:
        return False
    try:
        command = [sys.executable, "-IS", supervisor.__file__, str(directory), socket_path.settle(directory)]
        with (directory / supervisor.LOG).open("ab") as log:
            subprocess.run(  # noqa: S603 - returns at once: the supervisor leaves a child behind
                [*command, find_server(directory)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,
                cwd="/",
                check=False,
            )
    finally:
        os.close(lock)
    return True


def _is_supervised(directory: Path) -> bool:
    """Return True if a supervisor runs."""
    with suppress(FileNotFoundError):
        lock = supervisor.try_lock(directory / supervisor.SUPERVISOR)
        if lock is None:
            return True
        os.close(lock)
    return False
