"""What the demo sends through Tollgate itself: a request that is refused, and a stream that runs until Ctrl-C."""

from __future__ import annotations

import httpx

_IMAGE = {"model_id": "stabilityai/sdxl-turbo", "prompt": "a toll gate in the mist"}
_OFFER = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"
"""As much of an SDP offer (RFC 8866) as a mock reads."""
STREAM = "stage"
PIPELINE = "noop"


async def send_refused(origin: str, key: str) -> None:
    """Send an image request with a key that cannot pay for it."""
    async with _client(origin) as http:
        await http.post("/text-to-image", json=_IMAGE, headers={"authorization": f"Bearer {key}"})


async def publish(origin: str, key: str) -> None:
    """Publish a live stream by WHIP (RFC 9725); the gateway's heartbeats keep it going."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/sdp"}
    async with _client(origin) as http:
        path = f"/live/video-to-video/{STREAM}/whip"
        await http.post(path, params={"pipeline": PIPELINE}, content=_OFFER, headers=headers)


def _client(origin: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=origin, trust_env=False, verify=False, timeout=30)  # noqa: S501 - this machine
