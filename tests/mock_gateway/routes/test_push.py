"""Segment push (CONTRACT.md section 1.5)."""

import email.parser
import email.policy
import json
from collections.abc import AsyncIterator
from email.message import EmailMessage

import httpx
import pytest

from proxy.mock_gateway import MockGateway
from proxy.mock_gateway.media import mp4, ts
from proxy.mock_gateway.routes import manifests, transcode
from tests.mock_gateway.conftest import connect

SEGMENT = ts(10_000)
MIXED = {"accept": "multipart/mixed"}


def parts(response: httpx.Response) -> list[EmailMessage]:
    """The parts of a multipart response, as Python's own parser reads them."""
    head = f"Content-Type: {response.headers['content-type']}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + response.content)
    found = [part for part in message.iter_parts() if isinstance(part, EmailMessage)]
    assert not message.defects
    return found


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize(
    ("file", "segment", "mime"), [("7.ts", SEGMENT, "video/mp2t"), ("7.mp4", mp4(1000), "video/mp4")]
)
async def test_renditions_come_back_as_parts(
    client: httpx.AsyncClient, method: str, file: str, segment: bytes, mime: str
) -> None:
    response = await client.request(method, f"/live/m/{file}", content=segment, headers=MIXED)
    assert response.status_code == 200
    got = parts(response)
    assert [part["Rendition-Name"] for part in got] == ["P240p30fps16x9", "P360p30fps16x9"]
    for part in got:
        name = f"{part['Rendition-Name']}_{file}"
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        assert int(part["Content-Length"]) == len(payload) == 4 * 188
        assert str(part["Content-Type"]).startswith(f"{mime};")  # in this case
        assert part.get_filename() == name
        assert f'name="{name}"' in str(part["Content-Type"])


@pytest.mark.parametrize("accept", ["*/*", "multipart/mixed, */*", "Multipart/Mixed", "multipart/mixed;q=1", ""])
async def test_any_other_accept_is_an_empty_success(client: httpx.AsyncClient, accept: str) -> None:
    response = await client.put("/live/m/0.ts", content=SEGMENT, headers={"accept": accept})
    assert (response.status_code, response.content) == (200, b"")
    assert "content-type" not in response.headers
    assert response.headers["transfer-encoding"] == "chunked"  # the gateway flushes the head before the body


async def test_renditions_of_any_number_and_size(client: httpx.AsyncClient) -> None:
    behaviour = {"x-mock-gateway": "renditions=1,rendition-bytes=200000"}
    (part,) = parts(await client.put("/live/m/0.ts", content=SEGMENT, headers=MIXED | behaviour))
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert len(payload) == int(part["Content-Length"]) == 188 * 1064
    assert payload[::188] == b"\x47" * 1064


async def test_a_chunked_upload_without_length(mock_gateway: MockGateway, client: httpx.AsyncClient) -> None:
    async def upload() -> AsyncIterator[bytes]:
        for start in range(0, len(SEGMENT), 1000):
            yield SEGMENT[start : start + 1000]

    assert len(parts(await client.put("/live/m/0.ts", content=upload(), headers=MIXED))) == 2
    seen = mock_gateway.requests[0]
    assert seen.header("transfer-encoding") == "chunked"
    assert (seen.body_length, seen.body_complete) == (len(SEGMENT), True)


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("GET", "/live/m/0.ts", {}, SEGMENT, 405),
        ("DELETE", "/live/video-to-video/s/whip/0123", {}, b"", 405),
        ("PUT", "/live/m/0.ts", {"livepeer-transcode-configuration": "{"}, SEGMENT, 400),
        ("PUT", "/live/m/0.ts", {"livepeer-transcode-configuration": "[]"}, SEGMENT, 400),
        ("PUT", "/live/m/0.m3u8", {}, SEGMENT, 400),
        ("PUT", "/live/m/0", {}, SEGMENT, 400),
        ("PUT", "/live/.ts", {}, SEGMENT, 400),
        ("PUT", "/live//0.ts", {}, SEGMENT, 400),
        ("PUT", "/live/m/0.ts", {"content-slice-from": "20", "content-slice-to": "10"}, SEGMENT, 400),
        ("PUT", "/live/m/0.ts", {"content-slice-from": "10", "content-slice-to": "20"}, SEGMENT, 200),
        ("PUT", "/live/m/0.ts", {}, b"", 422),
        ("PUT", "/live/m/0.ts", {}, b"no video", 422),
        ("PUT", "/live/m/0.ts", {}, b"G" + bytes(500), 422),
        ("PUT", "/live/m/0.ts", {"x-mock-gateway": "no-orchestrators"}, SEGMENT, 503),
        ("PUT", "/live/m/0.ts", {"x-mock-gateway": "status=500"}, SEGMENT, 500),
    ],
)
async def test_checks(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    response = await client.request(method, path, headers=headers, content=body)
    assert response.status_code == status
    if status >= 400:
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        assert response.text.count("\n") == 1


async def test_the_clients_own_configuration_overrides(client: httpx.AsyncClient) -> None:
    profiles = [{"name": "hd", "width": 1280, "height": 720}, {"width": 640, "height": 360, "bitrate": 9}]
    config = {"manifestID": "inner", "presets": ["P720p30fps16x9", "unknown"], "profiles": profiles}
    headers = MIXED | {"livepeer-transcode-configuration": json.dumps(config)}
    names = [
        part["Rendition-Name"] for part in parts(await client.put("/live/m/0.ts", content=SEGMENT, headers=headers))
    ]
    assert names == ["P720p30fps16x9", "hd", "webhook_640x360_9"]
    assert "RESOLUTION=1280x720" in (await client.get("/stream/inner.m3u8")).text


async def test_a_manifest_is_one_session_for_whoever_names_it(client: httpx.AsyncClient) -> None:
    await client.put("/live/shared/1.ts", content=SEGMENT)
    hijack = {"livepeer-transcode-configuration": '{"manifestID":"shared"}'}
    await client.put("/live/other/2.ts", content=SEGMENT, headers=hijack)
    media = (await client.get("/stream/shared/source.m3u8")).text
    assert "/stream/shared/source/1.ts" in media
    assert "/stream/shared/source/2.ts" in media


async def test_an_idle_manifest_is_forgotten(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    await client.put("/live/m/0.ts", content=SEGMENT)
    monkeypatch.setattr(manifests, "IDLE", -1.0)
    assert (await client.get("/stream/m.m3u8")).status_code == 404


async def test_a_segment_beyond_the_limit_is_500(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcode, "MAX_SEGMENT", len(SEGMENT) - 1)
    assert (await client.put("/live/m/0.ts", content=SEGMENT)).status_code == 500


@pytest.mark.parametrize("path", ["/live/m/0.ts", "/live/m/0.mp4"])
async def test_error_texts_name_the_url_as_the_gateway_sees_it(client: httpx.AsyncClient, path: str) -> None:
    response = await client.put(f"{path}?key=k", content=b"no video", headers={"host": "10.0.0.7:9935"})
    assert (response.status_code, response.text) == (
        422,
        f"Error getting codec info url=http://10.0.0.7:9935{path}\n",
    )


async def test_playlists_are_refused_and_segments_go_on(client: httpx.AsyncClient) -> None:
    """`ffmpeg -f hls -method PUT` sends both."""
    assert (await client.put("/live/m/out.m3u8", content=b"#EXTM3U")).status_code == 400
    assert (await client.put("/live/m/0.ts", content=SEGMENT)).status_code == 200


async def test_with_an_object_store_parts_are_urls(stored: MockGateway) -> None:
    async with connect(stored) as client:
        response = await client.put("/live/m/3.ts", content=SEGMENT, headers=MIXED)
        for part in parts(response):
            assert part.get_content_type() == "application/vnd+livepeer.uri"
            assert str(part.get_filename()).endswith("_3.txt")
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            fetched = await client.get(payload.decode())
            assert (fetched.status_code, fetched.content[:1]) == (200, b"\x47")
