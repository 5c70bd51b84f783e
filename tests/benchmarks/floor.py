"""Floor, the least that a Python server costs here: uvicorn with one fixed response, no upstream, no Redis.

nginx and Python do not grow by the same factor from one machine to the next, nor from one build of Python to another.
The floor tells which part of the distance to nginx is the interpreter's.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.types import Receive, Scope, Send

from tests.benchmarks.nginx import RESPONSE
from tests.benchmarks.programs import Candidate, free_port, running, uvicorn

NAME = "uvicorn, a fixed response"
_BODY = RESPONSE.encode()
_HEAD = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the request, send the response."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEAD})
    await send({"type": "http.response.body", "body": _BODY})


@contextlib.asynccontextmanager
async def floor(folder: Path) -> AsyncIterator[Candidate]:
    """Run the server in a process of its own."""
    port = free_port()
    async with running(*uvicorn("tests.benchmarks.floor:app", port), port=port, log=folder / "floor.log") as process:
        yield Candidate(NAME, port, processes={"worker": (process,)})
