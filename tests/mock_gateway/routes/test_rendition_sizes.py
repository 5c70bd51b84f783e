"""Renditions keep the source's aspect ratio: profile sizes are not rendition sizes (CONTRACT.md section 1.5)."""

import asyncio
import json
import shutil
from pathlib import Path

import httpx
import pytest

from proxy.mock_gateway import MockGateway
from proxy.mock_gateway.video import one_picture, scaled
from tests.mock_gateway.conftest import connect
from tests.mock_gateway.routes.test_push import MIXED, SEGMENT, parts

FFPROBE = ["ffprobe", "-v", "quiet", "-select_streams", "v:0", "-of", "json"]
FFPROBE += ["-show_entries", "stream=codec_name,width,height"]


async def probed(folder: Path, video: bytes) -> tuple[str, int, int]:
    """Codec, width and height of a file, as FFmpeg reads them."""
    file = folder / "part"
    file.write_bytes(video)
    probe = await asyncio.create_subprocess_exec(*FFPROBE, str(file), stdout=asyncio.subprocess.PIPE)
    out, _ = await probe.communicate()
    [stream] = json.loads(out)["streams"]
    return stream["codec_name"], stream["width"], stream["height"]


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ((1920, 1080), (426, 240)),
        ((320, 240), (426, 320)),  # as a real gateway made it
        ((400, 400), (426, 426)),
        ((240, 320), (180, 240)),
        ((1080, 1920), (136, 240)),
        ((16_384, 1), (426, 2)),
    ],
)
def test_scaled(source: tuple[int, int], size: tuple[int, int]) -> None:
    assert scaled((426, 240), source) == size


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="no FFmpeg here")
@pytest.mark.parametrize("size", [(16, 16), (426, 240), (426, 426), (1280, 720), (136, 2160)])
async def test_ffmpeg_finds_the_size(tmp_path: Path, size: tuple[int, int]) -> None:
    assert await probed(tmp_path, one_picture(*size)) == ("h264", *size)


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="no FFmpeg here")
async def test_parts_hold_video_of_their_sizes(tmp_path: Path, client: httpx.AsyncClient) -> None:
    headers = MIXED | {"x-mock-gateway": "source=320x240"}
    response = await client.put("/live/m/0.ts", content=SEGMENT, headers=headers)
    sizes = []
    for part in parts(response):
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        assert int(part["Content-Length"]) == len(payload) == 4 * 188
        sizes.append(await probed(tmp_path, payload))
    assert sizes == [("h264", 426, 320), ("h264", 640, 480)]


async def test_a_part_is_never_shorter_than_its_video(client: httpx.AsyncClient) -> None:
    headers = MIXED | {"x-mock-gateway": "source=320x240,rendition-bytes=1"}
    for part in parts(await client.put("/live/m/0.ts", content=SEGMENT, headers=headers)):
        assert part["Content-Length"] == str(3 * 188)


async def test_with_an_object_store_parts_say_no_size(stored: MockGateway) -> None:
    async with connect(stored) as client:
        headers = MIXED | {"x-mock-gateway": "source=320x240"}
        for part in parts(await client.put("/live/m/0.ts", content=SEGMENT, headers=headers)):
            assert part.get_content_type() == "application/vnd+livepeer.uri"
