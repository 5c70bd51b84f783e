"""Batch AI routes (CONTRACT.md sections 1.0 and 1.1)."""

import io
import struct
import wave
import zlib
from typing import Any

import httpx
import pytest

from proxy.mock_gateway import MockGateway, Options
from proxy.mock_gateway.media import png, wav
from tests.mock_gateway.conftest import connect

IMAGE = {"image": ("in.png", png(320, 200), "image/png")}
AUDIO = {"audio": ("in.wav", wav(1500), "audio/wav")}
BATCH = ["text-to-image", "image-to-image", "image-to-video", "upscale", "audio-to-text", "llm"]
NO_DURATION = {"error": {"message": "audio duration calculation failed"}}
BATCH += ["segment-anything-2", "image-to-text", "text-to-speech"]


async def image_of(client: httpx.AsyncClient, response: httpx.Response) -> tuple[int, int]:
    """Fetch the first image of an response; its size, checked down to the pixels."""
    fetched = await client.get(response.json()["images"][0]["url"])
    assert (fetched.status_code, fetched.headers["content-type"]) == (200, "image/png")
    assert fetched.headers["access-control-allow-origin"] == "*"
    width, height = struct.unpack_from(">II", fetched.content, 16)
    start = fetched.content.index(b"IDAT") + 4
    (length,) = struct.unpack_from(">I", fetched.content, start - 8)
    pixels = zlib.decompress(fetched.content[start : start + length])
    assert len(pixels) == height * (1 + -(-width // 8))
    return width, height


@pytest.mark.parametrize(
    ("body", "size", "count"),
    [
        ({}, (512, 512), 1),
        ({"width": 640, "height": 360, "num_images_per_prompt": 3}, (640, 360), 3),
        ({"num_images_per_prompt": 0, "unknown": {"x": 1}, "seed": None}, (512, 512), 1),
        ({"model_id": "mock/images=0"}, None, 0),
    ],
)
async def test_text_to_image(
    client: httpx.AsyncClient, body: dict[str, Any], size: tuple[int, int] | None, count: int
) -> None:
    response = await client.post("/text-to-image", json={"model_id": "m", "prompt": "p"} | body)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    images = response.json()["images"]
    assert len(images) == count
    assert all(image.keys() == {"url", "seed", "nsfw"} for image in images)
    assert len({image["url"] for image in images}) <= 1  # the gateway reuses one file name
    if size:
        assert images[0]["url"].startswith("/stream/")
        assert await image_of(client, response) == size


@pytest.mark.parametrize(
    ("path", "data", "size", "count"),
    [
        ("/image-to-image", {"prompt": "p", "num_images_per_prompt": "2"}, (320, 200), 2),
        ("/upscale", {"prompt": "p"}, (1280, 800), 1),
    ],
)
async def test_images_from_an_image(
    client: httpx.AsyncClient, path: str, data: dict[str, str], size: tuple[int, int], count: int
) -> None:
    response = await client.post(path, data={"model_id": "m"} | data, files=IMAGE)
    assert len(response.json()["images"]) == count
    assert await image_of(client, response) == size


async def test_image_to_video_makes_images_not_frames(client: httpx.AsyncClient) -> None:
    response = await client.post("/image-to-video", data={"model_id": "m", "fps": "10"}, files=IMAGE)
    (video,) = response.json()["images"]
    fetched = await client.get(video["url"])
    assert fetched.headers["content-type"] == "video/mp4"
    at = fetched.content.index(b"mvhd")
    timescale, duration = struct.unpack_from(">II", fetched.content, at + 16)
    assert (timescale, duration) == (1000, 2500)


@pytest.mark.parametrize(("timestamps", "chunks"), [(None, 1), ("true", 1), ("sentence", 1), ("word", 4), ("false", 0)])
async def test_audio_to_text(client: httpx.AsyncClient, timestamps: str | None, chunks: int) -> None:
    data = {"model_id": "m"} | ({"return_timestamps": timestamps} if timestamps else {})
    response = (await client.post("/audio-to-text", data=data, files=AUDIO)).json()
    assert response["text"] == "this is mock speech"
    assert len(response["chunks"]) == chunks
    assert all(len(chunk["timestamp"]) == 2 for chunk in response["chunks"])


async def test_text_to_speech(client: httpx.AsyncClient) -> None:
    response = await client.post("/text-to-speech", json={"model_id": "m", "text": "twelve chars"})
    fetched = await client.get(response.json()["audio"]["url"])
    assert fetched.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(fetched.content)) as sound:
        assert (sound.getnframes(), sound.getframerate()) == (12 * 800, 16_000)  # 50 ms each


async def test_text_responses(client: httpx.AsyncClient) -> None:
    masks = (await client.post("/segment-anything-2", data={"model_id": "m"}, files=IMAGE)).json()
    assert masks.keys() == {"masks", "scores", "logits"}
    assert all(isinstance(value, str) for value in masks.values())
    response = await client.post("/image-to-text", data={"model_id": "m"}, files=IMAGE)
    assert response.json() == {"text": "a picture of 320 by 200 pixels"}


@pytest.mark.parametrize("route", BATCH)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_wrong_method_is_an_empty_success(client: httpx.AsyncClient, route: str, method: str) -> None:
    response = await client.request(method, f"/{route}")
    assert (response.status_code, response.content) == (200, b"")
    assert "content-type" not in response.headers


@pytest.mark.parametrize("path", ["/llm/", "/text-to-image/", "/nothing", "/", "/vod/x.m3u8", "/process/token"])
async def test_unknown_path_is_the_muxs_404(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path)
    assert (response.status_code, response.text) == (404, "404 page not found\n")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "invalid JSON"),
        (b"", "invalid JSON"),
        (b"[]", "json: cannot unmarshal"),
        (b'{"model_id":"m","width":"512"}', "width"),
        (b'{"model_id":"m","width":1.5}', "width"),
        (b'{"model_id":"m","width":true}', "width"),
        (b'{"model_id":1}', "model_id"),
        (b'{"model_id":"m","width":-1}', "-1x512"),
        (b'{"model_id":"m","num_images_per_prompt":1001}', "1001 images"),
        (b'{"model_id":"m","guidance_scale":NaN}', "invalid JSON"),
        (b"[" * 100_000, "invalid JSON"),
        (b'{"width":' + b"9" * 5000 + b"}", "invalid JSON"),
    ],
)
async def test_bad_json_is_400_with_its_text(client: httpx.AsyncClient, body: bytes, message: str) -> None:
    response = await client.post("/text-to-image", content=body)
    assert (response.status_code, response.headers["content-type"]) == (400, "application/json")
    assert message in response.json()["error"]["message"]


async def test_json_is_read_as_go_reads_it(client: httpx.AsyncClient) -> None:
    body = b'{"Model_ID":"m","WIDTH":64,"width":128} trailing'
    assert await image_of(client, await client.post("/text-to-image", content=body)) == (128, 512)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"--x--"),
        ("multipart/form-data; boundary=x", b"--x\r\nno end"),
        ("multipart/form-data; boundary=x", b"--x\r\nno name\r\n\r\nv\r\n--x--\r\n"),
    ],
)
async def test_bad_multipart_is_400(client: httpx.AsyncClient, content_type: str, body: bytes) -> None:
    response = await client.post("/upscale", content=body, headers={"content-type": content_type})
    assert response.status_code == 400
    assert "message" in response.json()["error"]


async def test_files_and_numbers_are_checked(client: httpx.AsyncClient) -> None:
    data = {"model_id": "m"}
    for files in ({"audio": b"not audio"}, {"other": b"x"}):
        no_audio = await client.post("/audio-to-text", data=data, files=files)
        assert (no_audio.status_code, no_audio.json()) == (400, NO_DURATION)
    bad = await client.post("/image-to-image", data=data | {"num_images_per_prompt": "two"}, files=IMAGE)
    assert bad.status_code == 400


@pytest.mark.parametrize(
    ("head", "status"), [(wav(1500), 400), (b"OggS", 400), (b"ID3", 200), (b"fLaC", 200), (b"\0\0\0\x18ftyp", 200)]
)
async def test_the_official_builds_ffmpeg_reads_neither_wav_nor_ogg(head: bytes, status: int) -> None:
    async with MockGateway(Options(stock_ffmpeg=True)) as gateway, connect(gateway) as client:
        response = await client.post("/audio-to-text", data={"model_id": "m"}, files={"audio": head})
    assert response.status_code == status
    assert status == 200 or response.json() == NO_DURATION


@pytest.mark.parametrize("error", [400, 500, 503])
@pytest.mark.parametrize("route", BATCH)
async def test_error_shape(client: httpx.AsyncClient, route: str, error: int) -> None:
    response = await client.post(f"/{route}", headers={"x-mock-gateway": f"status={error}"})
    text = {400: "requested code 400", 500: "Internal Server Error", 503: "Service Unavailable Error"}
    assert (response.status_code, response.json()) == (error, {"error": {"message": text[error]}})


@pytest.mark.parametrize("model", [{}, {"model_id": ""}, {"model_id": None}, {"model_id": "mock/no-orchestrators"}])
async def test_no_model_or_no_orchestrators_is_a_panic(
    mock_gateway: MockGateway, client: httpx.AsyncClient, model: dict[str, str]
) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/text-to-image", json={"prompt": "p"} | model)
    await mock_gateway.wait_for(finished=1)
    assert [(seen.outcome, seen.status) for seen in mock_gateway.requests] == [("dropped", None)]
    assert mock_gateway.requests[0].body_complete


async def test_results_live_in_one_process_and_no_longer_than_it(
    mock_gateway: MockGateway, client: httpx.AsyncClient
) -> None:
    response = await client.post("/text-to-image", json={"model_id": "m"})
    url = response.json()["images"][0]["url"]
    async with MockGateway() as other, connect(other) as elsewhere:
        assert (await elsewhere.get(url)).status_code == 404
    mock_gateway.reset()
    assert (await client.get(url)).status_code == 404


async def test_results_are_absolute_with_an_object_store(stored: MockGateway) -> None:
    async with connect(stored) as client:
        response = await client.post("/text-to-image", json={"model_id": "m", "width": 16, "height": 16})
        assert response.json()["images"][0]["url"].startswith(stored.url)
        assert await image_of(client, response) == (16, 16)


async def test_without_http_ingest_only_playback_remains() -> None:
    async with MockGateway(Options(http_ingest=False)) as mock_gateway, connect(mock_gateway) as client:
        paths = [f"/{route}" for route in BATCH] + ["/live/m/0.ts", "/process/request/x", "/process/stream/start"]
        statuses = {(await client.post(path)).status_code for path in paths}
        assert statuses == {404}
        assert (await client.get("/healthz")).status_code == 200
