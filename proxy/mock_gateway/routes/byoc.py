"""BYOC jobs: POST /process/request/... (CONTRACT.md section 1.7)."""

import asyncio
import base64
import time
from collections.abc import Iterator
from typing import Any, NoReturn

from proxy.mock_gateway.call import SSE_HEADERS, TEXT, Call, Headers
from proxy.mock_gateway.gateway import encode
from proxy.mock_gateway.routes.forms import decode_json

ORCHESTRATORS = ("https://orchestrator-1.invalid:8935", "https://orchestrator-2.invalid:8935")
"""The process's pool; a job's `parameters.orchestrators` can only narrow it."""
JOB = {"request": str, "parameters": str, "capability": str, "timeout_seconds": int}
PARAMETERS = {
    "orchestrators": dict,
    "enable_video_ingress": bool,
    "enable_video_egress": bool,
    "enable_data_output": bool,
}
FLOOD_GRACE = 10
"""Seconds past the job's timeout for which the gateway floods."""


class Job:
    """A decoded `Livepeer` header. `orchestrators`: the pool as narrowed; `timeout`: seconds."""

    def __init__(self, header: str) -> None:
        """Raises ValueError with the text of the gateway's 400."""
        try:
            fields = decode_json(base64.b64decode(header, validate=True), JOB)
        except ValueError as error:
            raise ValueError("Unable to parse job request, err=invalid header") from error
        self.capability: str = fields.get("capability", "")
        self.timeout: int = fields.get("timeout_seconds", 0)
        if not self.timeout:
            raise ValueError("Unable to parse job request, err=no timeout_seconds set")
        _nested(fields, "request", {})
        self.parameters = _nested(fields, "parameters", PARAMETERS)
        wanted = self.parameters.get("orchestrators", {})
        include, exclude = wanted.get("include") or ORCHESTRATORS, wanted.get("exclude") or []
        if not isinstance(include, list | tuple) or not isinstance(exclude, list):
            raise ValueError("Unable to unmarshal job parameters err=orchestrators")
        self.orchestrators = [url for url in ORCHESTRATORS if url in include and url not in exclude]


def _nested(fields: dict[str, Any], name: str, types: dict[str, type]) -> dict[str, Any]:
    """Return an object that travels as a JSON string inside the header's JSON; it must be there."""
    try:
        return decode_json(fields.get(name, "").encode(), types)
    except ValueError as error:
        raise ValueError(f"Unable to unmarshal job {name} err={error}") from error


async def take_job(call: Call) -> Job:
    """Return the request's job with its capability's instructions obeyed, or respond with 400.

    A gateway off the chain finds no orchestrator for any: they cannot read its signature.
    """
    try:
        job = Job(call.header("livepeer"))
    except ValueError as error:
        await call.text(400, str(error))
    await call.obey(job.capability)
    if not job.orchestrators or call.behaviour.no_orchestrators or call.gateway.options.offchain:
        await call.text(400, f"No orchestrators found for capability {job.capability}")
    return job


async def request(call: Call) -> None:
    """Run a job: a worker that describes what it was sent, or streams if `sse`, `flood` or `no-funds` says so.

    The gateway keeps status 200 and the body but not the worker's Content-Type: JSON is sniffed to be text.
    """
    if call.method != "POST":
        await call.text(405, "Method not allowed")
    job = await take_job(call)
    async for _ in call.body():
        pass
    if call.behaviour.runner_error:  # nothing is written when all orchestrators fail
        await call.respond(200)
    headers = [
        ("livepeer-balance", "1000000"),
        ("x-metadata", '{"worker":"mock"}'),
        ("x-orchestrator-url", job.orchestrators[0]),
    ]
    if call.behaviour.flood or call.behaviour.sse or call.behaviour.no_funds:
        await _stream(call, job, headers)
    response = {
        "capability": job.capability,
        "path": call.path.removeprefix("/process/request"),
        "bytes": call.record.body_length,
        "sha256": call.record.body_sha256,
    }
    await call.respond(200, encode(response), TEXT, headers)


async def _stream(call: Call, job: Job, headers: Headers) -> NoReturn:
    """Send server-sent events; without `[DONE]` the gateway spins, writing newlines until the timeout and 10 s."""
    await call.start(200, headers + SSE_HEADERS)
    for line in _lines(call):
        await call.chunk(line)
    until = time.monotonic() + job.timeout + FLOOD_GRACE
    while call.behaviour.flood and time.monotonic() < until:
        await call.chunk(b"\n")
        await asyncio.sleep(0)
    await call.finish()


def _lines(call: Call) -> Iterator[bytes]:
    """Yield the worker's lines, with the balance that the orchestrator puts before the end."""
    for i in range(call.behaviour.tokens):
        yield b'data: {"token":"t%d"}\n\n' % i
    if call.behaviour.no_funds:
        yield b'event: insufficient balance\ndata: {"balance": 0}\n\n'
    if not call.behaviour.flood:
        yield b'data: {"balance": 1000000}\n\n'
        yield b"data: [DONE]\n"
