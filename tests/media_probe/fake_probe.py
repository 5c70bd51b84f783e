"""A probe process that misbehaves as its first argument says. It cannot import the project: it stands for anything."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time


def result(**changes: object) -> dict[str, object]:
    track = {"frames": 1, "frames_per_second": 25.0, "span_milliseconds": 1, "milliseconds": 1, "width": 1, "height": 1}
    return {"number": 1, "result": {"verdict": "measured", "milliseconds": 1, "video": [track], **changes}}


REPLIES: dict[str, list[object]] = {
    "noise": [b"\x00\xffnoise"],
    "no-object": [[1, 2]],
    "empty-line": [b""],
    "wrong-name": [{"number": 1, "ready": []}],
    "wrong-number": [result() | {"number": 2}],
    "no-number": [{"result": {}, "so_far": {}}],
    "negative": [result(milliseconds=-1)],
    "text": [result(milliseconds="1")],
    "truth": [result(milliseconds=True)],
    "not-finite": [result(milliseconds=float("nan"))],
    "no-verdict": [result(verdict="splendid")],
    "track-without-rate": [result(video=[{"frames": 1}])],
    "many-tracks": [result(video=[{}] * 1000)],
    "endless-line": [b"x" * 1_000_000],
    "two-results": [result(), result()],
    "deep": [b'{"number":1,"result":' + b"[" * 30_000],
    "exit": [],
    "so-far-then-exit": [{"number": 1, "so_far": {"milliseconds": 1234}}],
    "bad-so-far-then-exit": [{"number": 1, "so_far": {"milliseconds": -1}}],
    "leaving": [result(leaving=True)],
    "hang": [],
    "so-far-then-hang": [{"number": 1, "so_far": {"milliseconds": 1234}}],
}
ENDING = ("exit", "so-far-then-exit", "bad-so-far-then-exit")


def main(mode: str) -> None:
    """Misbehave as `mode` says."""
    channel = socket.socket(fileno=0)

    def send(message: object) -> None:
        channel.sendall((message if isinstance(message, bytes) else json.dumps(message).encode()) + b"\n")

    if mode == "exit-at-start":
        sys.exit(3)
    if mode == "noise-at-start":
        send(b"hello")
    if mode == "hang-at-start":
        time.sleep(600)
    send({"number": 0, "ready": []})
    channel.recv(65_536)
    if mode == "abort":
        os.abort()
    for reply in REPLIES[mode]:
        send(reply)
    if mode not in ENDING:
        time.sleep(600)


if __name__ == "__main__":
    with contextlib.suppress(OSError):
        main(sys.argv[1])
