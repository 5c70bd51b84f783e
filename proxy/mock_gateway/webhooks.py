"""What a gateway asks and tells others: its webhooks, as a client (gateway contract section 5)."""

import asyncio
import json
from typing import Any

import httpx

from proxy.mock_gateway.gateway import Gateway, LiveStream

_SECONDS = 30.0
"""The gateway itself waits without end."""


async def authorise(gateway: Gateway, stream: LiveStream, kind: str, query: str) -> bool:
    """Ask whether a live stream may begin; what the answer names replaces what the client said."""
    hooks = gateway.hooks
    if not hooks.live_auth_url:
        return True
    base = f"{gateway.url}/live/video-to-video"
    question = {
        "stream": stream.name,
        "stream_key": stream.name,
        "type": kind,
        "query_params": query,
        "gateway_host": gateway.gateway_host,
        "whep_url": stream.whep_url,
        "status_url": f"{base}/{stream.stream_id}/status",
        "update_url": f"{base}/{stream.name}/update",
    }
    headers = {"x-api-key": hooks.live_auth_key, "authorization": hooks.live_auth_key}
    status, text = await _post(hooks.live_auth_url, question, headers)
    try:
        answer = json.loads(text)
    except ValueError:  # an empty body, too, is a refusal
        return False
    if not 200 <= status < 300:
        return False
    stream.stream_id = answer.get("stream_id") or stream.stream_id
    stream.pipeline = answer.get("pipeline") or stream.pipeline
    if parameters := answer.get("pipeline_parameters"):
        stream.params = json.dumps(parameters)
    return True


async def authorise_later(gateway: Gateway, stream: LiveStream, query: str) -> None:
    """The same after the client has its answer: a stream that is refused is closed then."""
    if await authorise(gateway, stream, "livepeer-whip", query):
        stream.authorised = True
    elif gateway.live.get(stream.name) is stream:
        del gateway.live[stream.name]
        gateway.kicked.append(stream.stream_id)


def living(gateway: Gateway) -> list[str]:
    """Stream ids of the live streams that run; BYOC streams are not among them."""
    return [stream.stream_id for stream in gateway.live.values() if stream.authorised]


async def beat(gateway: Gateway, ids: list[str] | None = None) -> None:
    """Tell which live streams run, null where none does, and end those that the answer names."""
    hooks = gateway.hooks
    if not hooks.heartbeat_url:
        return
    told = living(gateway) if ids is None else ids
    status, text = await _post(hooks.heartbeat_url, {"ids": told or None}, hooks.heartbeat_headers)
    if not 200 <= status < 300 or not text:
        return
    ended = set(json.loads(text).get("terminatedStreamIds") or ())
    for name, stream in list(gateway.live.items()):
        if stream.stream_id in ended:
            del gateway.live[name]
            gateway.kicked.append(stream.stream_id)


async def keep_beating(gateway: Gateway) -> None:
    """Beat at every interval, until cancelled."""
    while True:
        await asyncio.sleep(gateway.hooks.heartbeat_interval)
        await beat(gateway)


async def authorise_url(gateway: Gateway, url: str) -> dict[str, Any] | str:
    """What is said of a stream that begins at this URL: nothing in particular, or a configuration; else why not."""
    if not gateway.hooks.auth_url:
        return {}
    status, text = await _post(gateway.hooks.auth_url, {"url": url}, {})
    if status != 200:
        return text.decode(errors="replace") or "refused"
    answer: dict[str, Any] = json.loads(text or b"{}")
    return answer if answer.get("manifestID") or not text else "Empty manifest id not allowed"


async def _post(url: str, question: object, headers: dict[str, str]) -> tuple[int, bytes]:
    """Status and body; status 0 where nobody answers."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=_SECONDS) as client:  # noqa: S501 - plain http
        try:
            answer = await client.post(url, json=question, headers=headers)
        except httpx.HTTPError:
            return 0, b""
        return answer.status_code, answer.content
