"""Image to video, at once or detached (CONTRACT.md sections 1.1 and 1.3)."""

import asyncio

from proxy.mock_gateway.behaviour import Behaviour
from proxy.mock_gateway.call import MASKED, TEXT, Call
from proxy.mock_gateway.gateway import Gateway, encode, short_id
from proxy.mock_gateway.media import Result
from proxy.mock_gateway.routes.batch import number, read_json, take_image

FRAMES = 25
"""Frames of every video, whatever the request says (CONTRACT.md section 6.1)."""


async def image_to_video(call: Call) -> None:
    """POST /image-to-video: `images`, or 202 and a request id when exactly `Prefer: respond-async`."""
    detached = call.header("prefer") == "respond-async"
    form = await take_image(call, detached=detached)
    fps = await number(call, form, "fps", 6)
    video = Result("mp4", milliseconds=1000 * FRAMES // max(1, fps))
    if not detached:
        await call.json(200, _images(call.gateway, call.behaviour, video))
    request_id = short_id()
    call.gateway.videos[request_id] = {"status": "processing"}
    job = _generate(call.gateway, call.behaviour, request_id, video)
    call.behaviour = Behaviour()
    try:
        await call.json(202, {"request_id": request_id})
    finally:  # also when the client has left
        call.gateway.detach(job)


async def result(call: Call) -> None:
    """Any method, /image-to-video/result: 400 for every request, unless `Options.async_results`."""
    call.json_errors = True
    fields = await read_json(call, {"request_id": str})
    state = call.gateway.videos.get(fields.get("request_id", ""))
    if state is None or not call.gateway.options.async_results:
        await call.error(400, "invalid request ID")
    await call.respond(200 if state["status"] == "complete" else 202, encode(state), TEXT)


async def _generate(gateway: Gateway, behaviour: Behaviour, request_id: str, video: Result) -> None:
    """Do the detached work: `delay`, `hold`, `stall` and `status` apply to it; an error is a complete result."""
    await asyncio.sleep(behaviour.delay)
    await gateway.log.hold(behaviour)
    if behaviour.no_orchestrators:  # the panic of a goroutine ends the process
        gateway.log.crashed()
        gateway.crash()
        return
    if behaviour.status is not None:
        message = MASKED.get(behaviour.status, f"requested code {behaviour.status}")
        outcome: dict[str, object] = {"error": {"message": message}}
    else:
        outcome = _images(gateway, behaviour, video)
    gateway.videos[request_id] = {"result": outcome, "status": "complete"}


def _images(gateway: Gateway, behaviour: Behaviour, video: Result) -> dict[str, object]:
    count = 1 if behaviour.images is None else behaviour.images
    url = gateway.publish(video)
    return {"images": [{"url": url, "seed": 1, "nsfw": False} for _ in range(count)]}
