"""Live video-to-video signalling (CONTRACT.md sections 1.4 and 2)."""

import httpx
import pytest

from proxy.mock_gateway import MockGateway

LIVE = "/live/video-to-video"
SDP = {"content-type": "application/sdp"}
OFFER = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"


async def ingest(client: httpx.AsyncClient, stream: str = "cam", **query: str) -> httpx.Response:
    return await client.post(f"{LIVE}/{stream}/whip", params=query, content=OFFER, headers=SDP)


async def test_whip(client: httpx.AsyncClient) -> None:
    response = await client.post(f"{LIVE}/cam/whip", content=OFFER, headers=SDP | {"host": "public.example:9"})
    assert (response.status_code, response.headers["content-type"]) == (201, "application/sdp")
    assert response.content.startswith(b"v=0\r\n")
    location = response.headers["location"]
    assert location.startswith(f"http://public.example:9{LIVE}/cam/whip/")
    assert response.headers["etag"].startswith('W/"')
    assert response.headers["link"] == '<stun:stun.l.google.com:19302>; rel="ice-server"'
    playback = response.headers["livepeer-playback-url"]
    assert playback.startswith("http://localhost:8889/cam-")
    assert playback.endswith("-out/whep")
    for method in ("DELETE", "PATCH"):
        gone = await client.request(method, httpx.URL(location).path)
        assert gone.status_code == 405


@pytest.mark.parametrize("content_type", ["application/sdp;charset=utf-8", "Application/SDP", "text/plain", ""])
async def test_sdp_content_type_is_exact(client: httpx.AsyncClient, content_type: str) -> None:
    headers = {"content-type": content_type}
    assert (await client.post(f"{LIVE}/cam/whip", content=OFFER, headers=headers)).status_code == 415
    await ingest(client)
    assert (await client.post(f"{LIVE}/cam-out/whep", content=OFFER, headers=headers)).status_code == 415


async def test_names_of_any_script_are_accepted(client: httpx.AsyncClient) -> None:
    response = await client.post(f"{LIVE}/%E6%97%A5%0D%0A/whip", content=OFFER, headers=SDP)
    assert response.status_code == 201
    assert f"{LIVE}/%E6%97%A5%0D%0A/whip/" in response.headers["location"]
    assert (await client.post(f"{LIVE}/%E6%97%A5%0D%0A/update", content=b"{}")).status_code == 200


async def test_a_broken_offer_is_500(client: httpx.AsyncClient) -> None:
    assert (await client.post(f"{LIVE}/cam/whip", content=b"offer", headers=SDP)).status_code == 500
    assert (await client.post(f"{LIVE}/cam/update", content=b"{}")).status_code == 404


async def test_status_is_found_by_stream_id_and_update_by_name(client: httpx.AsyncClient) -> None:
    await ingest(client, "cam", streamId="id-1", pipeline="noop")
    for method in ("GET", "POST"):
        response = await client.request(method, f"{LIVE}/id-1/status")
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json()["pipeline"] == "noop"
    assert response.json()["gateway_status"]["whep_url"].startswith("http://localhost:8889/cam-")
    assert (await client.get(f"{LIVE}/cam/status")).status_code == 404
    updated = await client.post(f"{LIVE}/cam/update", content=b'{"prompt":"x"}')
    assert (updated.status_code, updated.content) == (200, b"")
    missing = await client.post(f"{LIVE}/id-1/update", content=b"{}")
    assert (missing.status_code, missing.text) == (404, "Stream not found\n")


async def test_whep(client: httpx.AsyncClient) -> None:
    whip = await ingest(client)
    path = httpx.URL(whip.headers["livepeer-playback-url"]).path
    response = await client.post(LIVE + path, content=OFFER, headers=SDP)
    assert (response.status_code, response.headers["content-type"]) == (201, "application/sdp")
    assert "location" not in response.headers


@pytest.mark.parametrize("path", ["cam", "cam-x", "my-cam-1-out", "cam-00000000-out", "other-out", "-out"])
async def test_whep_of_a_malformed_or_unknown_stream_is_404(client: httpx.AsyncClient, path: str) -> None:
    await ingest(client)
    assert (await client.post(f"{LIVE}/{path}/whep", content=OFFER, headers=SDP)).status_code == 404


async def test_whep_viewers_are_limited(client: httpx.AsyncClient) -> None:
    await ingest(client)
    responses = [await client.post(f"{LIVE}/cam-out/whep", content=OFFER, headers=SDP) for _ in range(6)]
    assert [response.status_code for response in responses] == [201] * 5 + [429]


@pytest.mark.parametrize("action", ["whip", "whep", "status", "update"])
@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 204), ("HEAD", 405)])
async def test_preflight_and_head(client: httpx.AsyncClient, action: str, method: str, status: int) -> None:
    response = await client.request(method, f"{LIVE}/cam/{action}")
    assert (response.status_code, response.content) == (status, b"")


@pytest.mark.parametrize(
    ("method", "action", "status"),
    [
        ("GET", "whip", 405),
        ("PUT", "whip", 400),
        ("PATCH", "whep", 501),
        ("DELETE", "whep", 405),
        ("GET", "update", 405),
        ("GET", "start", 405),
    ],
)
async def test_other_methods_fall_into_the_push_route(
    client: httpx.AsyncClient, method: str, action: str, status: int
) -> None:
    assert (await client.request(method, f"{LIVE}/cam/{action}")).status_code == status


@pytest.mark.parametrize("path", ["cam/start", "prefix/cam/start"])
@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"source_id": "1", "source_type": "rtmpConn", "query": "streamId=id-2&pipeline=noop"}, 200),
        ({"source_type": "rtmpconn"}, 400),
        ({"source_id": "1"}, 400),
        ({"source_id": "1", "source_type": "carrier pigeon"}, 400),
    ],
)
@pytest.mark.parametrize("multipart", [False, True])
async def test_media_mtx_start(
    client: httpx.AsyncClient, path: str, form: dict[str, str], status: int, multipart: bool
) -> None:
    files = {name: (None, value) for name, value in form.items()}
    body = {"files": files} if multipart else {"data": form}
    response = await client.post(f"{LIVE}/{path}", **body)
    assert response.status_code == status
    assert (await client.get(f"{LIVE}/id-2/status")).status_code == (200 if status == 200 else 404)


async def test_outputs_are_not_ingested_again(client: httpx.AsyncClient) -> None:
    form = {"source_id": "1", "source_type": "rtmpconn"}
    assert (await client.post(f"{LIVE}/cam-out/start", data=form)).status_code == 200
    assert (await client.post(f"{LIVE}/cam-out/update", content=b"{}")).status_code == 404


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [
        ("PUT", {"stream_url": "rtmp://x", "duration_secs": 10}, 200),
        ("PUT", {"stream_url": "rtmp://x", "duration_secs": 3601}, 400),
        ("PUT", {}, 400),
        ("PUT", [], 400),
        ("POST", {"stream_url": "rtmp://x"}, 405),
    ],
)
async def test_smoketest(client: httpx.AsyncClient, method: str, body: object, status: int) -> None:
    assert (await client.request(method, f"{LIVE}/smoketest", json=body)).status_code == status


async def test_the_pipeline_can_carry_instructions(mock_gateway: MockGateway, client: httpx.AsyncClient) -> None:
    assert (await ingest(client, pipeline="mock/status=503")).status_code == 503
    with pytest.raises(httpx.RemoteProtocolError):
        await ingest(client, pipeline="mock/drop")
    await mock_gateway.wait_for(finished=2)
