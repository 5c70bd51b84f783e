"""Image to video, at once or detached (gateway contract sections 1.1 and 1.3)."""

import asyncio

from proxy.mock_gateway.behaviour import Behaviour
from proxy.mock_gateway.call import MASKED, TEXT, Call
from proxy.mock_gateway.gateway import Gateway, encode, short_id
from proxy.mock_gateway.media import Result
from proxy.mock_gateway.routes.batch import number, read_json, take_file

FRAMES = 25
"""Frames of every video, whatever is asked for (section 6.1)."""


async def image_to_video(call: Call) -> None:
    """POST /image-to-video: `images`, or 202 and a request id when exactly `Prefer: respond-async`."""
    detached = call.header("prefer") == "respond-async"
    form = await take_file(call, "image", detached=detached)
    fps = await number(call, form, "fps", 6)
    video = Result("mp4", milliseconds=1000 * FRAMES // max(1, fps))
    if not detached:
        await call.json(200, _answer(call.gateway, call.behaviour, video))
    request_id = short_id()
    call.gateway.videos[request_id] = {"status": "processing"}
    call.gateway.detach(_generate(call.gateway, call.behaviour, request_id, video))
    call.behaviour = Behaviour()
    await call.json(202, {"request_id": request_id})


async def result(call: Call) -> None:
    """Any method, /image-to-video/result. Memory storage never finds a request: only an object store does."""
    call.json_errors = True
    fields = await read_json(call, {"request_id": str})
    state = call.gateway.videos.get(fields.get("request_id", ""))
    if state is None or not call.gateway.external_store:
        await call.error(400, "invalid request ID")
    await call.respond(200 if state["status"] == "complete" else 202, encode(state), TEXT)


async def _generate(gateway: Gateway, told: Behaviour, request_id: str, video: Result) -> None:
    """The detached work: `delay`, `hold`, `stall` and `status` apply to it; an error is a complete result."""
    await asyncio.sleep(told.delay)
    await gateway.log.hold(told)
    if told.status is not None:
        message = MASKED.get(told.status, f"told to answer {told.status}")
        outcome: dict[str, object] = {"error": {"message": message}}
    else:
        outcome = _answer(gateway, told, video)
    gateway.videos[request_id] = {"result": outcome, "status": "complete"}


def _answer(gateway: Gateway, told: Behaviour, video: Result) -> dict[str, object]:
    count = 1 if told.images is None else told.images
    url = gateway.publish(video)
    return {"images": [{"url": url, "seed": 1, "nsfw": False} for _ in range(count)]}
