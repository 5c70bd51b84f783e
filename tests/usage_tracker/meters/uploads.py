"""Requests with a file in a form, and the responses to them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from config.plans import Plan, Unreadable
from config.workloads import Workload
from middlewares.exchange import Exchange, Headers, Principal
from middlewares.ledger.model import Usage
from middlewares.usage_tracker.meters import Meter, meter_for
from tests.usage_tracker.meters.meter_runs import route_of

BOUNDARY = b"tollgate-boundary"
FORM: Headers = [(b"content-type", b"multipart/form-data; boundary=" + BOUNDARY)]
PLAN = Plan(unreadable=Unreadable(image_pixels=777, audio_bytes_per_second=1_000))
IMAGE = {"url": "/stream/ab12cd34/x.png", "seed": 1, "nsfw": False}
RESPONSES: dict[Workload, bytes] = {
    Workload.IMAGE_TO_IMAGE: json.dumps({"images": [IMAGE, IMAGE]}).encode(),
    Workload.IMAGE_TO_VIDEO: json.dumps({"images": [IMAGE]}).encode(),
    Workload.UPSCALE: json.dumps({"images": [IMAGE]}).encode(),
    Workload.SEGMENT_ANYTHING_2: b'{"logits":"[]","masks":"[]","scores":"[]"}',
    Workload.IMAGE_TO_TEXT: b'{"text":"a gate"}',
    Workload.AUDIO_TO_TEXT: b'{"chunks":[],"text":""}',
}
PICTURE_WORKLOADS = (
    Workload.IMAGE_TO_IMAGE,
    Workload.UPSCALE,
    Workload.SEGMENT_ANYTHING_2,
    Workload.IMAGE_TO_TEXT,
)


def form(file: bytes, *, name: str = "image", **fields: str) -> bytes:
    """A file between the fields."""
    parts = [_part(f'name="{key}"', value.encode()) for key, value in fields.items()]
    parts.insert(len(parts) // 2, _part(f'name="{name}"; filename="file"', file))
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def _part(parameters: str, content: bytes) -> bytes:
    return b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (BOUNDARY, parameters.encode(), content)


def upload_meter(workload: Workload, headers: Headers = FORM) -> Meter:
    """A meter of the workload's main route, for a customer whose plan is `PLAN`."""
    principal = Principal("app", None, None, "plan", PLAN)
    route = route_of(workload)
    return meter_for(Exchange("id", 0.0, "POST", "/", route=route, principal=principal, headers=headers))


def upload(
    workload: Workload,
    chunks: Iterable[bytes],
    *,
    headers: Headers = FORM,
    status: int = 200,
    response: bytes | None = None,
) -> Usage:
    """What the meter says after a request in these chunks and one response."""
    meter = upload_meter(workload, headers)
    for chunk in chunks:
        meter.request_body(chunk)
    meter.response_start(status, [(b"content-type", b"application/json")])
    meter.response_body(RESPONSES[workload] if response is None else response)
    return meter.usage()
