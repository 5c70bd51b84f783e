"""The hints about orchestrators that a stock gateway takes (gateway contract section 4), by tier. Pure."""

import base64
from urllib.parse import quote

import msgspec

from config.routing import Tier
from middlewares.exchange import Job


def job_header(job: Job, tier: Tier, request_id: str) -> bytes:
    """The `Livepeer` header for the gateway. The job is known by the id of its request."""
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
    """`target` of a live stream with the tier's orchestrator; a client's own choice was taken out of it before."""
    if not tier.live_orchestrator:
        return target
    joint = b"&" if b"?" in target else b"?"
    return target + joint + b"orchestrator=" + quote(tier.live_orchestrator, safe="").encode()
