"""The batch AI routes except /llm (gateway contract sections 1.0 and 1.1)."""

import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from proxy.mock_gateway.call import Call
from proxy.mock_gateway.forms import decode_json, decode_multipart
from proxy.mock_gateway.media import Result, is_audio

MAX_SIDE = 16_384
"""Pixels; beyond this the stand-in's runner refuses, as beyond `MAX_IMAGES`."""
MAX_IMAGES = 1_000
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
    """The request's JSON body, or 400."""
    try:
        return decode_json(await call.read(), types)
    except ValueError as error:
        await call.error(400, str(error))


async def read_form(call: Call) -> dict[str, bytes]:
    """The request's multipart body, or 400."""
    try:
        return decode_multipart(call.header("content-type"), await call.read())
    except ValueError as error:
        await call.error(400, str(error))


async def take_model(call: Call, model: str | None, *, detached: bool = False) -> str:
    """Obey the model's name. Without one the handler panics, and so it does without orchestrators for it.

    A `detached` goroutine that finds no orchestrators takes the whole gateway down (section 1.0).
    """
    if model is None:
        await call.drop()
    await call.obey(model)
    if not model or call.behaviour.no_orchestrators:
        await (call.crash() if detached else call.drop())
    return model


async def text_to_image(call: Call) -> None:
    """POST /text-to-image: `{"images":[{"url","seed","nsfw"}]}`."""
    fields = await read_json(call, TEXT_TO_IMAGE)
    await take_model(call, fields.get("model_id"))
    count = fields.get("num_images_per_prompt", 1)
    await answer_images(call, fields.get("width", 512), fields.get("height", 512), count, fields.get("seed", 1))


async def image_to_image(call: Call) -> None:
    """POST /image-to-image: images of the input's size."""
    form = await take_image(call)
    width, height = dimensions(form["image"])
    await answer_images(call, width, height, await number(call, form, "num_images_per_prompt", 1))


async def upscale(call: Call) -> None:
    """POST /upscale: one image of four times the input's width and height."""
    width, height = dimensions((await take_image(call))["image"])
    await answer_images(call, 4 * width, 4 * height, 1)


async def image_to_text(call: Call) -> None:
    """POST /image-to-text."""
    width, height = dimensions((await take_image(call))["image"])
    await call.json(200, {"text": f"a picture of {width} by {height} pixels"})


async def segment_anything_2(call: Call) -> None:
    """POST /segment-anything-2: three fields of JSON inside strings."""
    await take_image(call)
    await call.json(200, {"logits": "[[[0.5]]]", "masks": "[[[true]]]", "scores": "[0.9]"})


async def audio_to_text(call: Call) -> None:
    """POST /audio-to-text; audio whose duration cannot be found is 400."""
    form = await take_file(call, "audio")
    if not is_audio(form["audio"]):
        await call.error(400, "failed to calculate duration")
    words = ["this", "is", "the", "stand-in"]
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


async def take_image(call: Call) -> dict[str, bytes]:
    """A form with a model and an image."""
    return await take_file(call, "image")


async def take_file(call: Call, name: str, *, detached: bool = False) -> dict[str, bytes]:
    """A form with a model and a file; a missing file is the runner's 500."""
    form = await read_form(call)
    model = form.get("model_id")
    await take_model(call, None if model is None else model.decode("latin-1"), detached=detached)
    if not form.get(name):
        await call.error(500, f"no {name}")
    return form


async def number(call: Call, form: dict[str, bytes], name: str, default: int) -> int:
    """An integer form field, or 400."""
    try:
        return int(form[name]) if name in form else default
    except ValueError:
        await call.error(400, f"error binding {name}: not an integer")


async def answer_images(call: Call, width: int, height: int, count: int, seed: int = 1) -> None:
    """Answer with `count` images, every URL the same as the gateway's can be: count entries, not URLs."""
    count = max(1, count) if call.behaviour.images is None else call.behaviour.images
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and count <= MAX_IMAGES):
        await call.error(400, f"cannot make {count} images of {width}x{height} pixels")
    url = call.gateway.publish(Result("png", width, height, seed))
    await call.json(200, {"images": [{"url": url, "seed": seed + i, "nsfw": False} for i in range(count)]})


def dimensions(image: bytes) -> tuple[int, int]:
    """Width and height of a PNG; 512 x 512 for any other image, whose header the stand-in does not read."""
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
