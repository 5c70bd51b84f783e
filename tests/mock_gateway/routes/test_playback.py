"""Playlists, segments and recordings of what was pushed (CONTRACT.md section 1.6)."""

import httpx
import pytest

from proxy.mock_gateway import MockGateway, Options
from proxy.mock_gateway.media import ts
from tests.mock_gateway.conftest import connect

SEGMENT = ts(10_000)


async def test_playlists(client: httpx.AsyncClient) -> None:
    for sequence, duration in enumerate(["1000", "", "x", "-5", "2002", "500", "1500"]):
        headers = {"content-duration": duration} if duration else {}
        await client.put(f"/live/m/{sequence}.ts", content=SEGMENT, headers=headers)
    master = await client.get("/stream/m.m3u8")
    assert master.headers["cache-control"] == "max-age=5"
    assert master.headers["access-control-allow-origin"] == "*"
    urls = [line for line in master.text.splitlines() if not line.startswith("#")]
    assert urls == ["/stream/m/P240p30fps16x9.m3u8", "/stream/m/P360p30fps16x9.m3u8"]
    media = (await client.get(urls[0])).text.splitlines()
    assert "#EXT-X-MEDIA-SEQUENCE:2" in media
    durations = [line for line in media if line.startswith("#EXTINF")]
    assert durations == ["#EXTINF:2.000,", "#EXTINF:2.000,", "#EXTINF:2.002,", "#EXTINF:0.500,", "#EXTINF:1.500,"]
    segment = await client.get(media[-1])
    assert (segment.headers["content-type"], len(segment.content) % 188) == ("video/mp2t", 0)


@pytest.mark.parametrize(
    "path", ["/stream/none.m3u8", "/stream/m/none.m3u8", "/stream/m/source/9.ts", "/stream/x", "/stream/current.m3u8"]
)
async def test_unknown_playback_is_404(client: httpx.AsyncClient, path: str) -> None:
    await client.put("/live/m/0.ts", content=SEGMENT)
    response = await client.get(path)
    assert (response.status_code, response.headers["content-type"]) == (404, "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("file", "status", "content_type"),
    [
        ("index.m3u8", 200, "application/x-mpegURL"),
        ("P240p30fps16x9.m3u8", 200, "application/x-mpegURL"),
        ("source.mp4", 200, "video/mp4"),
        ("source/0.ts", 200, "video/mp2t"),
        ("none.mp4", 404, "text/plain; charset=utf-8"),
        ("index.html", 400, None),
    ],
)
async def test_recordings(stored: MockGateway, file: str, status: int, content_type: str | None) -> None:
    async with connect(stored) as client:
        await client.put("/live/m/0.ts", content=SEGMENT)
        response = await client.get(f"/recordings/m/{file}")
        assert (response.status_code, response.headers.get("content-type")) == (status, content_type)
        assert ("content-length" in response.headers) == (not file.startswith("source.mp4"))
        assert (await client.get(f"/recordings/other/{file}")).status_code in {404, 400}


async def test_the_official_builds_ffmpeg_makes_an_empty_mp4() -> None:
    async with MockGateway(Options(external_store=True, stock_ffmpeg=True)) as gateway, connect(gateway) as client:
        await client.put("/live/m/0.ts", content=SEGMENT)
        response = await client.get("/recordings/m/source.mp4")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "video/mp4"


async def test_without_a_record_store_there_are_no_recordings(client: httpx.AsyncClient) -> None:
    await client.put("/live/m/0.ts", content=SEGMENT)
    assert (await client.get("/recordings/m/index.m3u8")).status_code == 404


async def test_healthz(client: httpx.AsyncClient) -> None:
    response = await client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"")
