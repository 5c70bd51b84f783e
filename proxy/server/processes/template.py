"""The template: a process that has imported what the other processes are made of, and forks each of them.

Importing takes seconds of processor time, a fork milliseconds; and all of them share the memory of what was imported.
The template itself has no thread, no event loop and no connection that a fork could break.

For each process the supervisor sends a message on the socket of requests: its name, and the descriptors of its channel
and of whatever else it needs. The process finds its end of the channel at its standard input, as its lifeline: it ends
when the supervisor is gone. It sends lines there: its process id first, then those of its own. The template adds the
exit code; a channel that ends without one says that the template had died before. The template ends with its
supervisor, and leaves the others to their lifelines.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from setproctitle import setproctitle

from proxy.server.processes.lifeline import CHANNEL

MODULES: Mapping[str, str] = {"worker": "proxy.server.worker", "archiver": "proxy.server.background.archiver"}
"""Module of each kind of process; its `main` takes the further descriptors."""
IMPORTED_LATE = ("httpcore", "pydantic.v1")
"""What FastAPI and httpx import only once a worker runs."""
_LONGEST_NAME = 64
_MOST_DESCRIPTORS = 8
_OF_THE_SUPERVISOR = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that reach the whole process group, and that the supervisor acts upon."""


def serve(requests: socket.socket) -> None:
    """Fork what the supervisor asks for, until it is gone."""
    setproctitle("tollgate: template")
    for number in _OF_THE_SUPERVISOR:
        signal.signal(number, signal.SIG_IGN)
    gc.disable()  # nothing that is imported becomes garbage, and to look for some takes a quarter of the time
    for module in (*MODULES.values(), *IMPORTED_LATE):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    gc.enable()
    channels: dict[int, socket.socket] = {}
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    while True:
        readable, _, _ = select.select([requests, woken], [], [])
        if woken in readable:
            woken.recv(4096)
            _report_ended(channels)
        if requests in readable:
            name, descriptors, _, _ = socket.recv_fds(requests, _LONGEST_NAME, _MOST_DESCRIPTORS)
            if not name:
                return
            if (pid := os.fork()) == 0:
                for each in (requests, woken, wake, *channels.values()):
                    each.close()
                _become(name.decode(), descriptors)
            channels[pid] = socket.socket(fileno=descriptors[0])
            for descriptor in descriptors[1:]:
                os.close(descriptor)


def _report_ended(channels: dict[int, socket.socket]) -> None:
    """Send the exit code of each process that has ended to its channel, and close that."""
    while channels:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with channels.pop(pid) as channel:
            try:
                channel.send(b"%d\n" % os.waitstatus_to_exitcode(status), socket.MSG_DONTWAIT)
            except OSError:
                continue  # nobody reads it any more


def _become(name: str, descriptors: Sequence[int]) -> NoReturn:
    """Be the process of that name, and end as `python -m` of its module would."""
    channel, *others = descriptors
    signal.set_wakeup_fd(-1)
    for number in (*_OF_THE_SUPERVISOR, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(channel, CHANNEL)
    os.close(channel)
    setproctitle(f"tollgate: {name}")

    def program() -> None:
        try:
            os.write(CHANNEL, b"%d\n" % os.getpid())
        except BrokenPipeError:
            return  # whoever wanted it has died meanwhile
        importlib.import_module(MODULES[name]).main(*others)

    end_with(program)


def end_with(main: Callable[[], object]) -> NoReturn:
    """Run the main function of a program, and end this process as the interpreter would after it."""
    code = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=os.dup(0)))
