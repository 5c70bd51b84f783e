"""The process beside the embedded Redis: starts it, starts it again when it dies, stops it with its last owner.

Run by `proxy.store.embedded.redis_process`, as a file in an isolated interpreter, so it imports the standard library
only. Three locked files in the server's directory carry the whole protocol; the kernel drops a lock with its last
holder, so after `kill -9` of any process the locks still say the truth:

- `owners.lock`: every owner holds it shared. The supervisor waits for it exclusively; getting it means that nobody is
  left, and holding it makes newcomers wait until the server is down.
- `supervisor.lock`: held by the one supervisor. Whoever can lock it may start the next one, which inherits the lock.
- `server.lock`: held by the one Redis, through an inherited descriptor. Two servers on one append-only file would
  destroy it, so a new one starts only with this lock in hand, even when a supervisor died and left its server behind.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

OWNERS = "owners.lock"
SUPERVISOR = "supervisor.lock"
SERVER = "server.lock"
LOG = "redis.log"

_POLL_SECONDS = 0.02
_STABLE_SECONDS = 1.0
"""A server that lived longer is started again at once, one that did not after a growing pause."""
_LONGEST_PAUSE_SECONDS = 1.0
_STOP_SECONDS = 10.0
_SYNC_SECONDS = 1.0

_PR_SET_PDEATHSIG = 1


def try_lock(path: Path) -> int | None:
    """Return a descriptor with an exclusive lock on `path`, or None while another process has one."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def send_inline(address: str, command: bytes, timeout: float) -> bytes:
    """Send one command to the Redis on the unix socket `address`; return the reply's first 64 bytes, empty if none."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout)
        try:
            client.connect(address)
            client.sendall(command + b"\r\n")
            return client.recv(64)
        except OSError:
            return b""


def options(directory: Path, address: str) -> list[str]:
    """Return the whole configuration of the server: no TCP port, every write logged.

    It must not sync its log by itself (`everysec`): while it does, it keeps back, for up to two seconds, writes that
    it acknowledges all the same, and `kill -9` takes those with it. The supervisor syncs instead.
    """
    return [
        *("--port", "0", "--unixsocket", address, "--unixsocketperm", "700", "--dir", str(directory)),
        *("--appendonly", "yes", "--appendfsync", "no", "--aof-load-truncated", "yes", "--save", ""),
        *("--maxmemory-policy", "noeviction", "--daemonize", "no"),
    ]


class EmbeddedSupervisor:
    """Keeps one Redis running until told to stop."""

    def __init__(self, directory: Path, address: str, binary: str) -> None:
        self._directory = directory
        self._address = address
        self._command = [binary, *options(directory, address)]
        self._die_with_us = _death_signal()
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._syncer = threading.Thread(target=self._sync, daemon=True)

    def start(self) -> None:
        """Start the server, and again whenever it ends, and sync its log, in threads that live as long as we do."""
        self._supervisor.start()
        self._syncer.start()

    def stop(self) -> None:
        """End the server, which syncs its log to disk first."""
        self._stopping.set()
        with self._starting:
            server = self._server
        if server is not None:
            server.terminate()
            self._supervisor.join(_STOP_SECONDS)
            _kill_group(server.pid)

    def _supervise(self) -> None:
        pause, first = 0.0, True
        while not self._stopping.wait(pause):
            started = time.monotonic()
            server = self._start_server()
            if server is None:
                return
            status = server.wait()
            if self._stopping.is_set():
                return
            print(f"supervisor: redis (pid {server.pid}) ended with status {status}", flush=True)
            _kill_group(server.pid)
            if first and status > 0:  # it cannot work with this program or this data: its log says why
                os._exit(1)
            first = False
            stable = time.monotonic() - started > _STABLE_SECONDS
            pause = 0.0 if stable else min(max(2 * pause, 0.1), _LONGEST_PAUSE_SECONDS)

    def _sync(self) -> None:
        """Sync the server's log every second, so that a failure of the whole machine costs no more than that."""
        while not self._stopping.wait(_SYNC_SECONDS):
            try:
                for path in self._directory.rglob("*.aof"):
                    with path.open("rb") as log:
                        os.fsync(log.fileno())
            except FileNotFoundError:  # the server has just replaced it
                continue
            except OSError as error:
                print(f"supervisor: the log of redis cannot be synced: {error}", flush=True)

    def _start_server(self) -> subprocess.Popen[bytes] | None:
        while (lock := try_lock(self._directory / SERVER)) is None:
            send_inline(self._address, b"SHUTDOWN", _POLL_SECONDS)  # left behind by a supervisor that was killed
            if self._stopping.wait(_POLL_SECONDS):
                return None
        try:
            with self._starting:
                if self._stopping.is_set():
                    return None
                self._server = subprocess.Popen(  # noqa: S603
                    self._command,
                    pass_fds=(lock,),
                    preexec_fn=self._die_with_us,  # noqa: PLW1509 - two system calls, no lock
                    process_group=0,
                )
                return self._server
        finally:
            os.close(lock)


def _death_signal() -> Callable[[], None] | None:
    """Return what a child runs so that it is terminated when its parent dies; None where the system cannot."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def die_with_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the signal was arranged
            os._exit(1)

    return die_with_parent


def _kill_group(pid: int) -> None:
    """End a server and what it left running: a child that rewrites the append-only file would keep its lock."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def main(directory: Path, address: str, binary: str) -> None:
    """Supervise the server of `directory` until its last owner is gone. The caller has locked `supervisor.lock`."""
    if os.fork():
        os._exit(0)  # so that no owner has us as a child to wait for
    os.umask(0o077)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a service manager signals everybody, and owners still settle usage
    owners = os.open(directory / OWNERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    supervisor = EmbeddedSupervisor(directory, address, binary)
    supervisor.start()
    fcntl.flock(owners, fcntl.LOCK_EX)
    supervisor.stop()
    if Path(address).parent != directory:
        with contextlib.suppress(OSError):
            Path(address).parent.rmdir()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
