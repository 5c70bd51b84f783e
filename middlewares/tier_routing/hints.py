"""Hints about orchestrators that a stock gateway takes (gateway contract section 4), by tier. Pure."""

import base64
from urllib.parse import quote

import msgspec

from config.routing import Tier
from middlewares.exchange import Job


def job_header(job: Job, tier: Tier, request_id: str) -> bytes:
    """Return the `Livepeer` header for the gateway; the job's id is that of its request."""
    chosen = {"include": tier.byoc_include, "exclude": tier.byoc_exclude}
    orchestrators = {name: urls for name, urls in chosen.items() if urls}
    parameters = {**job.parameters, "orchestrators": orchestrators} if orchestrators else job.parameters
    header = {
        "id": request_id,
        "request": job.request,
        "parameters": msgspec.json.encode(parameters).decode(),
        "capability": job.capability,
        "timeout_seconds": job.timeout_seconds,
    }
    return base64.b64encode(msgspec.json.encode(header))


def live_target(target: bytes, tier: Tier) -> bytes:
    """Return the target of a live stream with the tier's orchestrator; the edge has removed a client's own choice."""
    if not tier.live_orchestrator:
        return target
    separator = b"&" if b"?" in target else b"?"
    return target + separator + b"orchestrator=" + quote(tier.live_orchestrator, safe="").encode()
