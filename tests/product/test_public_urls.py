"""Links in responses lead clients back to Tollgate, under the origin where clients reach it."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from middlewares.tenancy.names import at_gateway
from tests.support.deployment import Customer, Deployment, deployed
from tests.support.gateways import OFFER, SDP, job, made_image, made_stream

pytestmark = pytest.mark.asyncio(loop_scope="package")

ORIGIN = "https://ai.example"
MEDIA = "https://live.example:8443"


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def deployment_with_urls(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run one worker that knows its public URLs."""
    folder = tmp_path_factory.mktemp("urls")
    async with deployed(folder, {"public_url": ORIGIN, "media_url": MEDIA}) as deployment:
        yield deployment


def connect(deployment: Deployment, customer: Customer, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=deployment.public, headers={**customer.headers, **headers}, trust_env=False, timeout=30
    )


async def whip(client: httpx.AsyncClient, path: str) -> tuple[str, str]:
    """Begin an ingest; return its `Location` and `Livepeer-Playback-URL`."""
    response = await client.post(path, content=OFFER, headers=SDP)
    assert response.status_code == 201
    return response.headers["location"], response.headers["livepeer-playback-url"]


async def test_links_of_live_streams_have_the_configured_origin(deployment_with_urls: Deployment) -> None:
    customer = await deployment_with_urls.customer()
    name = at_gateway(customer.app, "cam")
    async with connect(deployment_with_urls, customer) as client:
        location, playback = await whip(client, "/live/video-to-video/cam/whip")
        assert location.startswith(f"{ORIGIN}/live/video-to-video/{name}/whip/")
        assert playback.startswith(f"{MEDIA}/{name}-")
        status = (await client.get("/live/video-to-video/cam/status")).json()
        assert status["gateway_status"]["whep_url"] == playback
        assert (status["stream_id"], status["gateway_status"]["error"]) == (name, None)


async def test_links_of_byoc_streams_have_the_configured_origin(deployment_with_urls: Deployment) -> None:
    customer = await deployment_with_urls.customer()
    async with connect(deployment_with_urls, customer) as client:
        urls = await made_stream(client, stream_name="cam", stream_id="1")
        stream = urls["stream_id"]
        assert stream == at_gateway(customer.app, "cam-1")
        base = f"{ORIGIN}/process/stream/{stream}"
        assert {name: url for name, url in urls.items() if name not in ("whep_url", "rtmp_output_url")} == {
            "stream_id": stream,
            "whip_url": f"{base}/whip",
            "rtmp_url": "",
            "update_url": f"{base}/update",
            "status_url": f"{base}/status",
            "data_url": f"{base}/data",
            "stop_url": f"{base}/stop",
        }
        assert urls["whep_url"].startswith(f"{MEDIA}/{stream}-")
        location, playback = await whip(client, f"/process/stream/{stream}/whip")
        assert location.startswith(f"{base}/whip/")
        assert playback == urls["whep_url"]


async def test_without_a_configured_origin_it_is_the_one_the_client_used(
    deployment: Deployment, customer: Customer
) -> None:
    for host in ("tollgate.internal:8080", "other.example"):
        async with connect(deployment, customer, host=host) as client:
            location, playback = await whip(client, "/live/video-to-video/cam/whip")
            assert location.startswith(f"http://{host}/live/video-to-video/")
            assert playback.startswith(f"http://{host}/live/video-to-video/{at_gateway(customer.app, 'cam')}-")
            urls = await made_stream(client)
            assert {
                urlsplit(url).netloc for name, url in urls.items() if name.endswith("_url") and "rtmp" not in name
            } == {host}


async def test_the_links_work(deployment: Deployment, customer: Customer) -> None:
    """Each link works exactly as it was sent."""
    async with connect(deployment, customer) as client:
        _, playback = await whip(client, "/live/video-to-video/cam/whip")
        assert (await client.post(playback, content=OFFER, headers=SDP)).status_code == 201
        urls = await made_stream(client, stream_name="cam")
        await whip(client, urls["whip_url"])
        assert (await client.get(urls["status_url"])).status_code == 200
        assert "stream_ended" in (await client.get(urls["data_url"])).text
        assert (await client.post(urls["update_url"], json={}, headers=job())).status_code == 200
        assert (await client.post(urls["stop_url"], headers=job())).status_code == 200
        assert (await client.get(await made_image(client))).status_code == 200


@pytest.mark.parametrize(
    ("behaviour", "status", "size"),
    [
        ("status=400", 400, 19),
        ("empty", 200, 0),
        ("bytes=70000", 200, 70_000),
        ("bytes=2000000,chunks=9", 200, 2_000_000),
    ],
)
async def test_what_holds_no_links_passes_as_it_is(
    deployment: Deployment, customer: Customer, behaviour: str, status: int, size: int
) -> None:
    """Responses without links pass unchanged, also those that are too long to search."""
    async with connect(deployment, customer) as client:
        response = await client.get("/live/video-to-video/cam/status", headers={"x-mock-gateway": behaviour})
        assert (response.status_code, len(response.content)) == (status, size)


async def test_an_output_that_the_client_names_is_dropped(deployment: Deployment, customer: Customer) -> None:
    async with connect(deployment, customer) as client:
        urls = await made_stream(client, rtmp_output="rtmp://10.0.0.1/internal")
        assert "10.0.0.1" not in str(urls)
