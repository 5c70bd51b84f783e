"""The batch AI routes except /llm (CONTRACT.md sections 1.0 and 1.1)."""

import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from proxy.mock_gateway.behaviour import MAX_SIDE
from proxy.mock_gateway.call import Call
from proxy.mock_gateway.media import Result, is_audio, is_image, is_stock_audio
from proxy.mock_gateway.routes.forms import decode_json, decode_multipart

MAX_IMAGES = 1_000
"""The mock gateway's runner refuses more images, and pictures beyond `MAX_SIDE`."""
MAX_SPEECH = 600_000
"""Milliseconds."""

TEXT_TO_IMAGE = {
    "model_id": str,
    "prompt": str,
    "negative_prompt": str,
    "loras": str,
    "width": int,
    "height": int,
    "num_images_per_prompt": int,
    "num_inference_steps": int,
    "guidance_scale": float,
    "safety_check": bool,
    "seed": int,
}
TEXT_TO_SPEECH = {"model_id": str, "text": str, "description": str}


async def read_json(call: Call, types: Mapping[str, type]) -> dict[str, Any]:
    """Return the request's JSON body, or respond with 400."""
    try:
        return decode_json(await call.read(), types)
    except ValueError as error:
        await call.error(400, str(error))


async def read_form(call: Call) -> dict[str, bytes]:
    """Return the request's multipart body, or respond with 400."""
    try:
        return decode_multipart(call.header("content-type"), await call.read())
    except ValueError as error:
        await call.error(400, str(error))


async def take_model(call: Call, model: str | None, *, detached: bool = False, required: bool = True) -> str:
    """Obey the model's name; drop the connection where its job cannot be run (CONTRACT.md section 1.0).

    That is without a model (unless it is not `required`), without orchestrators for it, without capacity, and when
    the runner fails. `detached`: the search for orchestrators comes after the response.
    """
    if model is None and (required or call.gateway.options.monitor):
        await call.drop()
    await call.obey(model or "")
    if model == "" or (call.behaviour.no_orchestrators and not detached) or not call.gateway.occupy(call.record):
        await call.drop()
    if call.behaviour.runner_error:
        await call.fail_runner()
    call.record.runner_calls = 1
    return model or ""


async def text_to_image(call: Call) -> None:
    """POST /text-to-image: `{"images":[{"url","seed","nsfw"}]}`."""
    fields = await read_json(call, TEXT_TO_IMAGE)
    await take_model(call, fields.get("model_id"))
    count = fields.get("num_images_per_prompt", 1)
    await respond_with_images(call, fields.get("width", 512), fields.get("height", 512), count, fields.get("seed", 1))


async def image_to_image(call: Call) -> None:
    """POST /image-to-image: images of the input's size."""
    form = await take_image(call)
    width, height = dimensions(form["image"])
    await respond_with_images(call, width, height, await number(call, form, "num_images_per_prompt", 1))


async def upscale(call: Call) -> None:
    """POST /upscale: one image of four times the input's width and height."""
    width, height = dimensions((await take_image(call))["image"])
    await respond_with_images(call, 4 * width, 4 * height, 1)


async def image_to_text(call: Call) -> None:
    """POST /image-to-text."""
    width, height = dimensions((await take_image(call, model_required=False))["image"])
    await call.json(200, {"text": f"a picture of {width} by {height} pixels"})


async def segment_anything_2(call: Call) -> None:
    """POST /segment-anything-2: three fields of JSON inside strings."""
    await take_image(call, model_required=False)
    await call.json(200, {"logits": "[[[0.5]]]", "masks": "[[[true]]]", "scores": "[0.9]"})


async def audio_to_text(call: Call) -> None:
    """POST /audio-to-text; audio whose duration cannot be found is 400."""
    form = await read_form(call)
    await take_model(call, _model(form), required=False)
    known = is_stock_audio if call.gateway.options.stock_ffmpeg else is_audio
    if not known(form.get("audio", b"")):
        call.record.runner_calls = 0
        await call.error(400, "audio duration calculation failed")
    words = ["this", "is", "mock", "speech"]
    match form.get("return_timestamps", b"true"):
        case b"false":
            texts = []
        case b"word":
            texts = words
        case _:
            texts = [" ".join(words)]
    chunks = [{"text": text, "timestamp": [float(i), float(i + 1)]} for i, text in enumerate(texts)]
    await call.json(200, {"chunks": chunks, "text": " ".join(words)})


async def text_to_speech(call: Call) -> None:
    """POST /text-to-speech: 50 ms of silence per character."""
    fields = await read_json(call, TEXT_TO_SPEECH)
    await take_model(call, fields.get("model_id"))
    speech = Result("wav", milliseconds=min(50 * len(fields.get("text", "")), MAX_SPEECH))
    await call.json(200, {"audio": {"url": call.gateway.publish(speech)}})


async def take_image(call: Call, *, detached: bool = False, model_required: bool = True) -> dict[str, bytes]:
    """Return a form with a model and an image; an image that cannot be decoded drops the connection."""
    form = await read_form(call)
    await take_model(call, _model(form), detached=detached, required=model_required)
    if not is_image(form.get("image", b"")):
        await call.fail_runner()
    return form


def _model(form: dict[str, bytes]) -> str | None:
    model = form.get("model_id")
    return None if model is None else model.decode("latin-1")


async def number(call: Call, form: dict[str, bytes], name: str, default: int) -> int:
    """Return an integer form field, or respond with 400."""
    try:
        return int(form[name]) if name in form else default
    except ValueError:
        await call.error(400, f"error binding {name}: not an integer")


async def respond_with_images(call: Call, width: int, height: int, count: int, seed: int = 1) -> None:
    """Respond with `count` images, all of one URL as the gateway's are: count entries, not URLs."""
    count = max(1, count) if call.behaviour.images is None else call.behaviour.images
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and count <= MAX_IMAGES):
        await call.error(400, f"cannot make {count} images of {width}x{height} pixels")
    url = call.gateway.publish(Result("png", width, height, seed))
    await call.json(200, {"images": [{"url": url, "seed": seed + i, "nsfw": False} for i in range(count)]})


def dimensions(image: bytes) -> tuple[int, int]:
    """Return width and height of a PNG; 512 x 512 for any other image, whose header the mock gateway does not read."""
    if image[:8] == b"\x89PNG\r\n\x1a\n" and len(image) >= 24:
        width, height = struct.unpack_from(">II", image, 16)
        return width, height
    return 512, 512


ROUTES: dict[str, Callable[[Call], Awaitable[None]]] = {
    "/text-to-image": text_to_image,
    "/image-to-image": image_to_image,
    "/upscale": upscale,
    "/image-to-text": image_to_text,
    "/segment-anything-2": segment_anything_2,
    "/audio-to-text": audio_to_text,
    "/text-to-speech": text_to_speech,
}
