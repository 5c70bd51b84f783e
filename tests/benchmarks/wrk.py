"""Saturation with wrk: as many requests as a number of connections can carry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.programs import LOOPBACK, Candidate, Failed, find, output_of

SCRIPT = Path(__file__).with_name("send.lua")
BODY = (
    b'{"model_id":"SG161222/RealVisXL_V4.0_Lightning","prompt":"a lighthouse on a cliff at dusk, oil on canvas",'
    b'"width":512,"height":512,"num_images_per_prompt":1}'
)


@dataclass(frozen=True, slots=True)
class Sent:
    """The request of a run; with a body, its media type stands beside it."""

    method: str
    target: str
    media_type: str = ""
    body: bytes = b""


IMAGE = Sent("POST", "/text-to-image", "application/json", BODY)
ENDING_SECONDS = 30.0
"""Seconds that a run may take beyond its time."""
LONGER = 5
"""Factor by which a run without any response is repeated longer: a peer on a busy machine may need seconds."""


@dataclass(frozen=True, slots=True)
class Load:
    """Result of one run: milliseconds, and CPU microseconds per request by role."""

    requests: int
    per_second: float
    p50: float
    p99: float
    cpu: dict[str, float]

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics for a table."""
        times = {"requests/s": self.per_second, "p50 ms": self.p50, "p99 ms": self.p99}
        shares = {f"{role} CPU": cost for role, cost in self.cpu.items() if len(self.cpu) > 1}
        return times | {"CPU µs/request": sum(self.cpu.values())} | shares


async def saturate(candidate: Candidate, connections: int, seconds: int, folder: Path, sent: Sent = IMAGE) -> Load:
    """Send a request over this many connections. Raises `Missing`, and `Failed` if any response was an error."""
    wrk = find("wrk", "wrk")
    keys, body = folder / "keys.txt", folder / "body.json"
    keys.write_text("".join(f"{key}\n" for key in candidate.keys))
    body.write_bytes(sent.body)
    arguments = (sent.method, sent.target, str(keys), *((sent.media_type, str(body)) if sent.body else ()))
    script = ("-s", str(SCRIPT), f"http://{LOOPBACK}:{candidate.port}/", "--", *arguments)
    for duration in (seconds, LONGER * seconds):
        options = ("-t", "1", "-c", str(connections), "-d", f"{duration}s", "--timeout", "10s")
        before = candidate.cpu()
        output = await output_of(wrk, *options, *script, seconds=duration + ENDING_SECONDS)
        after = candidate.cpu()
        result = json.loads(output.splitlines()[-1])
        if result["errors"]:
            raise Failed(f"{candidate.name}: {result['errors']} errors beside {result['requests']} responses")
        if requests := result["requests"]:
            cpu = {role: (after[role] - before[role]) / requests * 1e6 for role in before}
            return Load(requests, requests / result["seconds"], result["p50"], result["p99"], cpu)
    raise Failed(f"{candidate.name}: no response in {LONGER * seconds} s")
