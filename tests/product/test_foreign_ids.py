"""Nothing of one tenant can be read, changed or ended by another, whatever ids that one knows."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from middlewares.routes import MATCHER
from middlewares.tenancy.names import at_gateway
from tests.support.deployment import Customer, eventually
from tests.support.gateways import (
    OFFER,
    SDP,
    SEGMENT,
    TwoTierDeployment,
    deployed_two_tiers,
    job,
    made_image,
    made_stream,
    made_video,
)

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass
class OwnedResources:
    """Resources of a tenant at the gateways, by the names that the gateway and its URLs show."""

    owner: Customer
    manifest: str
    live: str
    whep: str
    byoc: str
    result: str
    video: str

    @property
    def routes(self) -> list[str]:
        """Every path that leads to one of them."""
        live, byoc = f"/live/video-to-video/{self.live}", f"/process/stream/{self.byoc}"
        return [
            f"/live/{self.manifest}/0.ts",
            f"/live/{self.manifest}/0.mp4",
            f"/stream/{self.manifest}.m3u8",
            f"/stream/{self.manifest}/source.m3u8",
            f"/stream/{self.manifest}/source/0.ts",
            f"/recordings/{self.manifest}/index.m3u8",
            f"/recordings/{self.manifest}/source/0.ts",
            f"/recordings/{self.manifest}/source.mp4",
            self.result,
            f"{live}/whip",
            f"{live}/whip/0a1b2c3d0a1b2c3d",
            f"{live}/update",
            f"{live}/status",
            f"/live/video-to-video/{self.whep}/whep",
            f"/live/video-to-video/{self.live}-out/whep",
            f"{byoc}/stop",
            f"{byoc}/update",
            f"{byoc}/status",
            f"{byoc}/data",
            f"{byoc}/whip",
        ]


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def two_tiers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TwoTierDeployment]:
    async with deployed_two_tiers(tmp_path_factory.mktemp("two_tiers")) as found:
        yield found


async def create_one_of_each(two_tiers: TwoTierDeployment) -> OwnedResources:
    """Create a tenant with one of every resource."""
    owner = await two_tiers.deployment.customer()
    async with two_tiers.client(owner) as client:
        assert (await client.put("/live/cam/0.ts", content=SEGMENT)).status_code == 200
        whip = await client.post("/live/video-to-video/cam/whip", content=OFFER, headers=SDP)
        assert whip.status_code == 201
        whep = whip.headers["livepeer-playback-url"].split("/")[-2]
        byoc = await made_stream(client, stream_name="cam")
        return OwnedResources(
            owner,
            at_gateway(owner.app, "cam"),
            at_gateway(owner.app, "cam"),
            whep,
            byoc["stream_id"],
            await made_image(client),
            await made_video(client),
        )


async def send_request(client: httpx.AsyncClient, method: str, path: str, **options: object) -> int:
    """Send a request with every header and body that its route may need; return the status."""
    content_type = "application/sdp" if path.endswith(("/whip", "/whep")) else "application/json"
    content = OFFER if content_type == "application/sdp" else SEGMENT if path.endswith((".ts", ".mp4")) else b"{}"
    headers = {**job(), "content-type": content_type}
    response = await client.request(
        method, path, content=None if method in ("GET", "HEAD") else content, headers=headers
    )
    return response.status_code


def is_served(method: str, path: str) -> bool:
    route = MATCHER.find(path.encode())
    return route is not None and method in route.method_set


async def test_no_id_of_one_tenant_opens_anything_to_another(two_tiers: TwoTierDeployment) -> None:
    """Each route and method is tried with the full id; no request reaches a gateway, and every resource stays."""
    victim = await create_one_of_each(two_tiers)
    attacker = await two_tiers.deployment.customer()
    before = len(two_tiers.forwarded(victim.owner.app))
    attempted = [(method, path) for path in victim.routes for method in METHODS if is_served(method, path)]
    assert len(attempted) > len(victim.routes)
    async with two_tiers.client(attacker) as client:
        responses = {(method, path): await send_request(client, method, path) for method, path in attempted}
        responses |= {
            (method, victim.video): (
                await client.request(method, "/image-to-video/result", json={"request_id": victim.video})
            ).status_code
            for method in ("GET", "POST")
        }
        for body in ({"stream_id": victim.byoc}, {"stream_name": victim.byoc}):
            started = await client.post("/process/stream/start", json=body, headers=job())
            responses["POST", str(body)] = started.status_code
    assert {attempted: status for attempted, status in responses.items() if status != 404} == {}
    assert two_tiers.forwarded(attacker.app) == [], "the gateway received not one of them"
    assert len(two_tiers.forwarded(victim.owner.app)) == before

    async with two_tiers.client(victim.owner) as client:
        for path in (f"/stream/{victim.manifest}.m3u8", victim.result, f"/process/stream/{victim.byoc}/status"):
            assert (await client.get(path)).status_code == 200, path
        found = await client.request("GET", "/image-to-video/result", json={"request_id": victim.video})
        assert found.status_code in (200, 202)


async def test_the_same_short_names_are_different_things_for_each_tenant(two_tiers: TwoTierDeployment) -> None:
    """Both name everything `cam`, and neither sees the other's."""
    first, second = await create_one_of_each(two_tiers), await create_one_of_each(two_tiers)
    assert first.manifest != second.manifest
    async with two_tiers.client(first.owner) as one, two_tiers.client(second.owner) as other:
        assert (await one.put("/live/cam/41.ts", content=SEGMENT)).status_code == 200
        assert "/41.ts" in (await one.get("/stream/cam/source.m3u8")).text
        assert "/41.ts" not in (await other.get("/stream/cam/source.m3u8")).text
        started = await one.post("/live/video-to-video/only-mine/whip", content=OFFER, headers=SDP)
        assert started.status_code == 201
        assert (await one.get("/live/video-to-video/only-mine/status")).status_code == 200
        for operation, method in (("status", "GET"), ("update", "POST"), ("whep", "POST")):
            path = f"/live/video-to-video/only-mine/{operation}"
            assert (await other.request(method, path, headers=SDP, content=b"{}")).status_code == 404, operation
        shared = (await made_stream(one, stream_id="show"))["stream_id"]
        assert shared == at_gateway(first.owner.app, "show")
        for operation, method in (("stop", "POST"), ("update", "POST"), ("status", "GET"), ("data", "GET")):
            path = f"/process/stream/show/{operation}"
            assert (await other.request(method, path, headers=job())).status_code == 404, operation
        assert (await one.get("/process/stream/show/status")).status_code == 200


async def test_an_id_that_no_gateway_made_is_not_forwarded(two_tiers: TwoTierDeployment) -> None:
    customer = await two_tiers.deployment.customer()
    async with two_tiers.client(customer) as client:
        assert (await client.get("/stream/0a1b2c3d/file.png")).status_code == 404
        response = await client.post("/image-to-video/result", json={"request_id": "0a1b2c3d"})
        assert (response.status_code, response.json()["code"]) == (404, "unknown_id")
        assert (await client.get("/process/stream/cam-0a1b2c3d/status")).status_code == 404
    assert two_tiers.forwarded(customer.app) == []


async def test_guessing_ids_is_limited_like_everything_else(two_tiers: TwoTierDeployment) -> None:
    customer = await two_tiers.deployment.customer("free")
    async with two_tiers.client(customer) as client:
        guesses = [client.get(f"/stream/{number:08x}/file.png") for number in range(40)]
        statuses = {response.status_code for response in await asyncio.gather(*guesses)}
    assert statuses == {404, 429}


@pytest.mark.parametrize(
    "body",
    [b'{"Request_Id":"%s"}', b'{"request_id":"0a1b2c3d","REQUEST_ID":"%s"}', b'{"reque\\u017ft_id":"%s"}', b"[]", b""],
)
async def test_another_spelling_of_a_member_is_no_way_around(two_tiers: TwoTierDeployment, body: bytes) -> None:
    """The gateway's decoder ignores case, so other spellings are refused."""
    victim = await create_one_of_each(two_tiers)
    attacker = await two_tiers.deployment.customer()
    async with two_tiers.client(attacker) as client:
        content = body.replace(b"%s", victim.video.encode())
        assert (await client.post("/image-to-video/result", content=content)).status_code == 400
        content = b'{"Stream_ID":"%s"}' % victim.byoc.encode()
        assert (await client.post("/process/stream/start", content=content, headers=job())).status_code == 400
    assert two_tiers.forwarded(attacker.app) == []


async def test_ids_stay_readable_to_their_owner(two_tiers: TwoTierDeployment) -> None:
    """The owner may use the short name it gave, or what playlists and URLs show, exactly as the gateway wrote it."""
    owned = await create_one_of_each(two_tiers)
    async with two_tiers.client(owned.owner) as client:
        playlist = await client.get("/stream/cam.m3u8")
        assert playlist.text == (await client.get(f"/stream/{owned.manifest}.m3u8")).text
        shown = [line for line in playlist.text.splitlines() if line.startswith("/")]
        assert shown[0] == f"/stream/{owned.manifest}/P240p30fps16x9.m3u8"
        segments = (await client.get(shown[0])).text.splitlines()
        assert (await client.get(segments[-1])).status_code == 200
        assert (await client.put(f"/live/{owned.manifest}/1.ts", content=SEGMENT)).status_code == 200
        assert "/1.ts" in (await client.get("/stream/cam/source.m3u8")).text

        status = (await client.get("/live/video-to-video/cam/status")).json()
        assert status["stream_id"] == owned.live
        assert (await client.post(f"/live/video-to-video/{owned.whep}/whep", content=OFFER, headers=SDP)).is_success
        assert owned.byoc.startswith(at_gateway(owned.owner.app, "cam-"))
        assert (await client.post(f"/process/stream/{owned.byoc}/stop", headers=job())).status_code == 200


async def test_a_result_can_be_fetched_the_moment_it_is_known(two_tiers: TwoTierDeployment) -> None:
    """Any worker serves a result, though the one that saw it being made has only just written that to Redis."""
    customer = await two_tiers.deployment.customer()
    async with two_tiers.client(customer) as client:
        for _ in range(25):
            assert (await client.get(await made_image(client))).status_code == 200
        request_id = await made_video(client)
        states: list[int] = []

        async def is_ready() -> bool:
            response = await client.request("GET", "/image-to-video/result", json={"request_id": request_id})
            states.append(response.status_code)
            return response.status_code == 200

        await eventually(is_ready)
        assert set(states) <= {200, 202}
