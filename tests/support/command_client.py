"""Has a command server run `tollgate` in the folder and environment of this process; its socket is the first argument.

For shells: `python -I -S command_client.py SOCKET ARGUMENT...` takes a few milliseconds, and imports nothing of the
product. What the command prints is printed once it has ended, standard output first.
"""

from __future__ import annotations

import json
import os
import socket
import sys


def main(path: str, *arguments: str) -> int:
    """Run the command; return its exit code."""
    request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        with connection.makefile("rwb") as stream:
            stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()
            stream.readline()
            done = json.loads(stream.readline())
    sys.stdout.write(done["out"])
    sys.stdout.flush()
    sys.stderr.write(done["err"])
    return int(done["code"])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
