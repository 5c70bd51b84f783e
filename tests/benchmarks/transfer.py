"""Large bodies over one plain blocking connection, which costs the least; call it in a thread."""

from __future__ import annotations

import socket
import time

from tests.benchmarks.programs import LOOPBACK, Candidate, Failed

BLOCK = bytes(256 * 1024)
_CHUNK_HEAD = b"%x\r\n" % len(BLOCK)
TIMEOUT_SECONDS = 60.0


def download(candidate: Candidate, size: int) -> float:
    """Download `size` bytes; return the seconds. Raises `Failed` if they do not come."""
    started = time.monotonic()
    with _connection(candidate) as connection:
        connection.sendall(_head(candidate, "GET", f"/stream/{size}.ts", ""))
        body = _read_response(connection)
        left = size - len(body)
        room = bytearray(len(BLOCK))
        while left > 0:
            got = connection.recv_into(room)
            if not got:
                raise Failed(f"{candidate.name}: the response ended {left} bytes early")
            left -= got
    return time.monotonic() - started


def upload(candidate: Candidate, size: int, *, chunked: bool) -> float:
    """Upload a segment of `size` bytes, a multiple of `BLOCK`'s; return the seconds. Raises `Failed` if refused."""
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    started = time.monotonic()
    with _connection(candidate) as connection:
        connection.sendall(_head(candidate, "PUT", "/live/bench/0.ts", f"Content-Type: video/mp2t\r\n{framing}\r\n"))
        piece = _CHUNK_HEAD + BLOCK + b"\r\n" if chunked else BLOCK
        for _ in range(size // len(BLOCK)):
            connection.sendall(piece)
        if chunked:
            connection.sendall(b"0\r\n\r\n")
        _read_response(connection)
    return time.monotonic() - started


def _connection(candidate: Candidate) -> socket.socket:
    return socket.create_connection((LOOPBACK, candidate.port), TIMEOUT_SECONDS)


def _head(candidate: Candidate, method: str, path: str, headers: str) -> bytes:
    key = candidate.keys[0]
    return f"{method} {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nAuthorization: Bearer {key}\r\n{headers}\r\n".encode()


def _read_response(connection: socket.socket) -> bytes:
    """Read the head of a 200; return what follows it. Raises `Failed` for any other status."""
    read = b""
    while b"\r\n\r\n" not in read:
        got = connection.recv(65_536)
        if not got:
            raise Failed(f"the connection closed after {read!r}")
        read += got
    head, _, body = read.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise Failed(f"the response was {head.splitlines()[0].decode(errors='replace')}")
    return body
