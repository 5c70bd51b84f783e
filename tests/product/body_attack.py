"""Attack by request bodies from one key, in a process of its own, whose arguments are address, key and seconds.

Prints a line once it is ready, attacks when it is sent one, and then prints how many responses had which status and
code, as a JSON object.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import cache

from tests.support.raw_http import RawConnection, chunk, request

CONNECTIONS = 5
"""Connections of each kind of attack."""
PAUSE = 0.2
"""Seconds between two requests of one connection."""
MIB = 1 << 20

Pieces = AsyncIterator[bytes]


async def whole(data: bytes) -> Pieces:
    yield data


def headers(key: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    return [("X-Api-Key", key), *more]


@cache
def long_name(key: str) -> bytes:
    """A model's name of almost 4 MB."""
    body = b'{"model":"%b","messages":[{"role":"user","content":"hi"}]}' % (b"n" * (4 * MIB - 100))
    return request("POST", "/llm", headers(key), body)


@cache
def dense_json(key: str) -> bytes:
    """Four megabytes of empty lists, each of which takes 64 bytes once it is parsed."""
    body = b'{"model":"m","messages":[%b1]}' % (b"[]," * (4 * MIB // 3 - 50))
    return request("POST", "/v1/chat/completions", headers(key), body)


@cache
def escaped_names(key: str) -> bytes:
    """Names spelled by escapes, which have to be parsed twice."""
    members = b",".join(b'"\\u0061%07d":{}' % number for number in range(200_000))
    return request("POST", "/text-to-image", headers(key), b'{"model_id":"m",%b}' % members)


@cache
def upload(key: str) -> bytes:
    """A form whose model comes behind a file of ten megabytes, or would."""
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    multipart = ("Content-Type", "multipart/form-data; boundary=b")
    return request("POST", "/image-to-image", headers(key, multipart), part + bytes(10 * MIB))


async def endless(key: str) -> Pieces:
    """A chunked body that does not end."""
    yield request("POST", "/text-to-speech", headers(key, ("Transfer-Encoding", "chunked")))
    yield chunk(b'{"text":"')
    for _ in range(256):
        yield chunk(b"t" * 65_536)


async def drip(key: str) -> Pieces:
    """One byte at a time."""
    yield request("POST", "/llm", headers(key, ("Content-Length", str(MIB))))
    while True:
        yield b"{"
        await asyncio.sleep(PAUSE)


async def segment(key: str) -> Pieces:
    """A segment that is said to be large, and comes in drips."""
    yield request("POST", "/live/cam/0.ts", headers(key, ("Content-Length", str(100 * MIB))))
    while True:
        yield bytes(188)
        await asyncio.sleep(PAUSE)


BODIES = (long_name, dense_json, escaped_names, upload)
STREAMS = (endless, drip, segment)


async def attack(address: tuple[str, int], key: str, seconds: float) -> Counter[str]:
    """Attack by every kind at once; return the number of responses by what they said."""
    said: Counter[str] = Counter()

    async def client(kind: Callable[[str], bytes | Pieces]) -> None:
        while time.monotonic() < end:
            with contextlib.suppress(OSError, EOFError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(end - time.monotonic() + 1):
                    said[await respond(kind)] += 1
            await asyncio.sleep(PAUSE)

    async def respond(kind: Callable[[str], bytes | Pieces]) -> str:
        connection = await RawConnection.open(address)
        sending = asyncio.create_task(send(connection, kind(key)))
        try:
            response = await connection.response()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await sending  # it goes on, whatever it was told
            return f"{response.status} {response.code if response.status >= 400 else ''}"
        finally:
            sending.cancel()
            connection.abort()

    async def send(connection: RawConnection, body: bytes | Pieces) -> None:
        async for piece in whole(body) if isinstance(body, bytes) else body:
            await connection.send(piece)

    end = time.monotonic() + seconds
    await asyncio.gather(*(client(kind) for kind in (*BODIES, *STREAMS) for _ in range(CONNECTIONS)))
    return said


def main() -> None:
    """Attack as the arguments say."""
    (host, _, port), key, seconds = sys.argv[1].rpartition(":"), sys.argv[2], float(sys.argv[3])
    for body in BODIES:
        body(key)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(attack((host, int(port)), key, seconds))))


if __name__ == "__main__":
    main()
