"""A probe process: reads requests from the socket at its standard input, one at a time, and sends what it measured.

    python -m proxy.media_probe.process PARENT_PID MEMORY_BYTES

A request is a line of JSON: `number`, `kind` (audio, segment or rendition), `size` (bytes of the body), `cpu_seconds`,
and `inline`: how many bytes of the body follow on the socket, all or none. If none do, the request brings the
descriptor of a file that holds it. The process sends lines of JSON, each with the `number` of the request and one of:
`"ready": [...]` once, with the names of its restrictions and the number 0; any number of `"so_far": {...}` for each
request, and one `"result": {...}`, with the fields of `MediaMeasure` and `leaving`: whether the process ends now, for
the body took more than half of its memory. It ends with its parent, too, whose end of the socket is then closed.
"""

from __future__ import annotations

import io
import json
import os
import resource
import socket
import struct
import sys
from functools import partial
from typing import Any

import av
import av.logging
import av.subtitles.codeccontext  # PyAV would load these at the first subtitle, when no file can be opened any more
import av.subtitles.stream
import av.subtitles.subtitle

from proxy.media_probe.budget import Budget, OutOfBudget
from proxy.media_probe.confinement import confine, die_with_parent, renew_cpu_seconds
from proxy.media_probe.container import BodyFile, MediaBody, container_milliseconds
from proxy.media_probe.sound import Sound
from proxy.media_probe.video import Segment

LONGEST_LINE = 65_536
LONGEST_PROBLEM = 500
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
FORCE_MARGIN_SECONDS = 2.0
"""CPU time beyond a request's own, after which the kernel ends the process: the work did not come back in between."""


def main() -> None:
    """Confine this process, then measure until the parent closes its end."""
    parent, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    inherited = _peak_memory()  # Linux starts the count with the peak of the process that it was forked from
    av.logging.set_libav_level(av.logging.PANIC)
    channel = ProbeChannel(socket.socket(fileno=0))
    die_with_parent(parent)
    for body in (b"no media", _silence()):  # loads what is loaded at first use, while files can be opened
        for kind in ("audio", "segment"):
            measure(kind, io.BytesIO(body), Budget(1, lambda so_far: None))
    channel.send(0, {"ready": confine(memory_bytes)})
    while (request := channel.receive()) is not None:
        renew_cpu_seconds(request.cpu_seconds + FORCE_MARGIN_SECONDS)
        budget = Budget(request.cpu_seconds, partial(channel.send_so_far, request.number))
        result = measure(request.kind, request.body, budget)
        request.close()
        # What was taken is not given back, and the next body wants its share.
        result["leaving"] = _peak_memory() > max(memory_bytes // 2, inherited)
        channel.send(request.number, {"result": result})
        if result["leaving"]:
            return


def _peak_memory() -> int:
    """Return the most memory that this process has held at a time, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT


def measure(kind: str, body: MediaBody, budget: Budget) -> dict[str, Any]:
    """Return what `body` holds, with the fields of `MediaMeasure`; never raises for what is in it."""
    result: dict[str, Any] = {"verdict": "unreadable"}
    counted: Sound | Segment = Sound() if kind == "audio" else Segment()
    try:
        budget.note(container_milliseconds=container_milliseconds(body))
        counted.measure(body, budget)
        if kind != "audio" and not counted.readable:
            counted = Sound()  # a segment may hold sound alone
            counted.measure(body, budget)
        if counted.readable:
            result["verdict"] = "measured"
    except (OutOfBudget, MemoryError) as error:
        result["verdict"] = "gave_up"
        result["problem"] = type(error).__name__
    except av.FFmpegError:
        pass
    except Exception as error:  # an error of ours: nothing is known of the body
        result["verdict"] = "not_measured"
        result["problem"] = repr(error)[:LONGEST_PROBLEM]
    return {**result, **budget.known, **counted.so_far()}


class Request:
    """One body to measure."""

    def __init__(self, line: bytes, inline: bytes, descriptor: int | None) -> None:
        fields = json.loads(line)
        self.number: int = fields["number"]
        self.kind: str = fields["kind"]
        self.cpu_seconds: float = fields["cpu_seconds"]
        self._descriptor = descriptor
        self.body: MediaBody = io.BytesIO(inline) if descriptor is None else BodyFile(descriptor, fields["size"])

    def close(self) -> None:
        """Close the file that the request brought."""
        if self._descriptor is not None:
            os.close(self._descriptor)


class ProbeChannel:
    """The socket to the parent: lines of JSON both ways, and bodies from there."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, number: int, message: dict[str, Any]) -> None:
        """Send one line about the request of that number; end the process if the parent is gone."""
        try:
            self._connection.sendall(json.dumps({"number": number, **message}).encode() + b"\n")
        except OSError:
            raise SystemExit from None

    def send_so_far(self, number: int, so_far: dict[str, Any]) -> None:
        """Send what was counted until now."""
        self.send(number, {"so_far": so_far})

    def receive(self) -> Request | None:
        """Wait for a request; None once the parent has closed its end."""
        data, descriptor = b"", None
        while b"\n" not in data:
            part, descriptors, *_ = socket.recv_fds(self._connection, LONGEST_LINE, 1)
            if not part:
                return None
            data += part
            descriptor = descriptors[0] if descriptors else descriptor
        line, _, inline = data.partition(b"\n")
        missing = json.loads(line)["inline"] - len(inline)
        parts = [inline]
        while missing > 0:
            part = self._connection.recv(min(missing, 1 << 20))
            if not part:
                return None
            parts.append(part)
            missing -= len(part)
        return Request(line, b"".join(parts), descriptor)


def _silence() -> bytes:
    """Return a WAV file of 80 samples."""
    samples = bytes(160)
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 196, b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", 160)
    return head + samples


if __name__ == "__main__":
    main()
