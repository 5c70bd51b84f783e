"""`tollgate serve` with its worker under another program, such as valgrind, which makes it slow.

python -m tests.benchmarks.worker_under PROGRAM [OPTION ...]
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from typing import NoReturn

from proxy.server.metric_files import VARIABLE
from proxy.server.processes.lifeline import CHANNEL

START_SECONDS = 600.0
PROGRAM = "from proxy.server.worker import main; main({})"


def main() -> None:
    """Serve, with what the environment says."""
    os.environ[VARIABLE] = tempfile.gettempdir()  # or processes would not share their metrics, see `metric_files`
    from proxy.cli.main import main as tollgate
    from proxy.server.processes import template, workers

    under, become = sys.argv[1:], template._become

    def become_under(name: str, descriptors: Sequence[int]) -> NoReturn:
        if name == "worker":
            start_worker(under, *descriptors)
        become(name, descriptors)

    template._become = become_under
    workers.START_SECONDS = START_SECONDS
    sys.argv = ["tollgate", "serve"]
    tollgate()


def start_worker(under: Sequence[str], channel: int, listener: int) -> NoReturn:
    """Become a worker that begins anew, for such programs do not follow a fork."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    os.dup2(channel, CHANNEL)
    os.write(CHANNEL, b"%d\n" % os.getpid())
    os.set_inheritable(listener, True)
    os.execvp(under[0], [*under, sys.executable, "-c", PROGRAM.format(listener)])


if __name__ == "__main__":
    main()
