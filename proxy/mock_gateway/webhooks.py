"""The webhooks that a gateway calls, as a client (CONTRACT.md section 5)."""

import asyncio
import json
from typing import Any

import httpx

from proxy.mock_gateway.gateway import Gateway, LiveStream

_SECONDS = 30.0
"""The gateway itself waits without end."""


async def authorise(gateway: Gateway, stream: LiveStream, kind: str, query: str) -> bool:
    """Return True if a live stream may begin; what the response names replaces what the client chose."""
    hooks = gateway.hooks
    if not hooks.live_auth_url:
        return True
    base = f"https://{gateway.options.gateway_host}/live/video-to-video"
    body = {
        "stream": stream.name,
        "stream_key": stream.name,
        "type": kind,
        "query_params": query,
        "gateway_host": gateway.options.gateway_host,
        "whep_url": stream.whep_url,
        "status_url": f"{base}/{stream.stream_id}//status",
        "update_url": f"{base}/{stream.name}//update",
    }
    headers = {"x-api-key": hooks.live_auth_key, "authorization": hooks.live_auth_key}
    status, text = await _post(hooks.live_auth_url, body, headers)
    try:
        response = json.loads(text)
    except ValueError:  # an empty body, too, is a refusal
        return False
    if not 200 <= status < 300:
        return False
    stream.stream_id = response.get("stream_id") or stream.stream_id
    stream.pipeline = response.get("pipeline") or stream.pipeline
    if parameters := response.get("pipeline_parameters"):
        stream.params = json.dumps(parameters)
    return True


async def authorise_later(gateway: Gateway, stream: LiveStream, query: str) -> None:
    """Authorise after the client has its response: a stream that is refused is closed then."""
    if await authorise(gateway, stream, "livepeer-whip", query):
        stream.authorised = True
    elif gateway.live.get(stream.name) is stream:
        del gateway.live[stream.name]
        gateway.kicked.append(stream.stream_id)


def living(gateway: Gateway) -> list[str]:
    """Return the stream ids of the live streams that run; BYOC streams are not among them."""
    return [stream.stream_id for stream in gateway.live.values() if stream.authorised]


async def beat(gateway: Gateway, ids: list[str] | None = None) -> None:
    """Send the ids of the live streams that run, null for none, and end those that the response names."""
    hooks = gateway.hooks
    if not hooks.heartbeat_url:
        return
    running = living(gateway) if ids is None else ids
    status, text = await _post(hooks.heartbeat_url, {"ids": running or None}, hooks.heartbeat_headers)
    if not 200 <= status < 300 or not text:
        return
    ended = set(json.loads(text).get("terminatedStreamIds") or ())
    for name, stream in list(gateway.live.items()):
        if stream.stream_id in ended:
            del gateway.live[name]
            gateway.kicked.append(stream.stream_id)


async def keep_beating(gateway: Gateway) -> None:
    """Send a heartbeat at every interval, until cancelled."""
    while True:
        await asyncio.sleep(gateway.hooks.heartbeat_interval)
        await beat(gateway)


async def authorise_url(gateway: Gateway, url: str) -> dict[str, Any] | str:
    """Return the configuration of a stream that begins at this URL, which may be empty; a text says why it may not."""
    if not gateway.hooks.auth_url:
        return {}
    status, text = await _post(gateway.hooks.auth_url, {"url": url}, {})
    if status != 200:
        return text.decode(errors="replace") or "refused"
    response: dict[str, Any] = json.loads(text or b"{}")
    return response if response.get("manifestID") or not text else "Empty manifest id not allowed"


async def _post(url: str, body: object, headers: dict[str, str]) -> tuple[int, bytes]:
    """Return status and body; status 0 where nobody responds."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=_SECONDS) as client:  # noqa: S501 - plain http
        try:
            response = await client.post(url, json=body, headers=headers)
        except httpx.HTTPError:
            return 0, b""
        return response.status_code, response.content
