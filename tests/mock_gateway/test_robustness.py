"""Whatever arrives, a handler responds or drops as requested: none fails by accident."""

import asyncio
import base64
import json
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.mock_gateway import MockGateway

NAMES = ["model_id", "model", "prompt", "width", "num_images_per_prompt", "seed", "messages", "role", "content"]
NAMES += ["max_tokens", "temperature", "top_p", "stream", "text", "request_id", "stream_url", "duration_secs"]
NAMES += ["profiles", "presets", "manifestID", "name", "height", "capability", "timeout_seconds", "request"]
NAMES += ["parameters", "orchestrators", "include", "exclude", "stream_id", "stream_name", "params"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9) | st.just("{}")
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=12,
)
TARGETS = [
    ("POST", "/text-to-image"),
    ("POST", "/text-to-speech"),
    ("POST", "/llm"),
    ("POST", "/image-to-video/result"),
    ("POST", "/upscale"),
    ("POST", "/audio-to-text"),
    ("PUT", "/live/m/0.ts"),
    ("PUT", "/live/video-to-video/smoketest"),
    ("POST", "/live/video-to-video/s/start"),
    ("POST", "/process/request/x"),
    ("POST", "/process/stream/start"),
    ("GET", "/stream/a/b/c.ts"),
    ("GET", "/recordings/m/x.ts"),
]


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(target=st.sampled_from(TARGETS), value=JSON, junk=st.binary(max_size=60), form=st.booleans())
def test_no_request_makes_a_handler_fail(target: tuple[str, str], value: Any, junk: bytes, form: bool) -> None:
    method, path = target
    text = json.dumps(value)
    headers = {
        "content-type": "multipart/form-data; boundary=b" if form else "application/json",
        "livepeer": base64.b64encode(text.encode()).decode(),
        "livepeer-transcode-configuration": text,
        "content-duration": "9" * len(junk) ** 2,
    }
    name = NAMES[len(junk) % len(NAMES)].encode()
    multipart = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n--b--\r\n' % (name, junk)

    async def run() -> None:
        async with MockGateway() as mock_gateway, aiohttp.ClientSession(mock_gateway.url) as session:
            for body in (text.encode(), junk, multipart):
                try:
                    async with session.request(method, path, data=body, headers=headers) as response:
                        await response.read()
                except aiohttp.ServerDisconnectedError:
                    pass
            await mock_gateway.wait_for(finished=3)
            assert {seen.outcome for seen in mock_gateway.requests} <= {"complete", "dropped"}

    asyncio.run(run())
