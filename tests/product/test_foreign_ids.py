"""Nothing of one tenant can be read, changed or ended by another, whatever id it comes to know."""

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
    job,
    made_image,
    made_stream,
    made_video,
    two_tiers,
)

pytestmark = pytest.mark.asyncio(loop_scope="package")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass
class Belongings:
    """What a tenant has at the gateways, by the names that the gateway and its URLs show."""

    owner: Customer
    manifest: str
    live: str
    whep: str
    byoc: str
    result: str
    video: str

    @property
    def routes(self) -> list[str]:
        """Every path by which something of it can be reached."""
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
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TwoTierDeployment]:
    async with two_tiers(tmp_path_factory.mktemp("two_tiers")) as found:
        yield found


async def settle_in(place: TwoTierDeployment) -> Belongings:
    """A tenant with one of everything."""
    owner = await place.gate.customer()
    async with place.client(owner) as client:
        assert (await client.put("/live/cam/0.ts", content=SEGMENT)).status_code == 200
        whip = await client.post("/live/video-to-video/cam/whip", content=OFFER, headers=SDP)
        assert whip.status_code == 201
        whep = whip.headers["livepeer-playback-url"].split("/")[-2]
        byoc = await made_stream(client, stream_name="cam")
        return Belongings(
            owner,
            at_gateway(owner.app, "cam"),
            at_gateway(owner.app, "cam"),
            whep,
            byoc["stream_id"],
            await made_image(client),
            await made_video(client),
        )


async def ask(client: httpx.AsyncClient, method: str, path: str, **options: object) -> int:
    """Ask with everything that a request may need to be taken seriously."""
    content_type = "application/sdp" if path.endswith(("/whip", "/whep")) else "application/json"
    content = OFFER if content_type == "application/sdp" else SEGMENT if path.endswith((".ts", ".mp4")) else b"{}"
    headers = {**job(), "content-type": content_type}
    answer = await client.request(method, path, content=None if method in ("GET", "HEAD") else content, headers=headers)
    return answer.status_code


def is_served(method: str, path: str) -> bool:
    route = MATCHER.find(path.encode())
    return route is not None and method in route.method_set


async def test_no_id_of_one_tenant_opens_anything_to_another(place: TwoTierDeployment) -> None:
    """Each route and method, by the id in full; the gateways hear of none, and what was there is as it was."""
    victim = await settle_in(place)
    thief = await place.gate.customer()
    before = len(place.heard(victim.owner.app))
    asked = [(method, path) for path in victim.routes for method in METHODS if is_served(method, path)]
    assert len(asked) > len(victim.routes)
    async with place.client(thief) as client:
        answers = {(method, path): await ask(client, method, path) for method, path in asked}
        answers |= {
            (method, victim.video): (
                await client.request(method, "/image-to-video/result", json={"request_id": victim.video})
            ).status_code
            for method in ("GET", "POST")
        }
        for body in ({"stream_id": victim.byoc}, {"stream_name": victim.byoc}):
            started = await client.post("/process/stream/start", json=body, headers=job())
            answers["POST", str(body)] = started.status_code
    assert {asked: status for asked, status in answers.items() if status != 404} == {}
    assert place.heard(thief.app) == [], "the gateway did not see a single one"
    assert len(place.heard(victim.owner.app)) == before

    async with place.client(victim.owner) as client:
        for path in (f"/stream/{victim.manifest}.m3u8", victim.result, f"/process/stream/{victim.byoc}/status"):
            assert (await client.get(path)).status_code == 200, path
        found = await client.request("GET", "/image-to-video/result", json={"request_id": victim.video})
        assert found.status_code in (200, 202)


async def test_the_same_short_names_are_different_things_for_each_tenant(place: TwoTierDeployment) -> None:
    """Both call everything `cam`: neither notices the other."""
    first, second = await settle_in(place), await settle_in(place)
    assert first.manifest != second.manifest
    async with place.client(first.owner) as one, place.client(second.owner) as other:
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


async def test_an_id_that_no_gateway_made_is_not_asked_for(place: TwoTierDeployment) -> None:
    customer = await place.gate.customer()
    async with place.client(customer) as client:
        assert (await client.get("/stream/0a1b2c3d/file.png")).status_code == 404
        answer = await client.post("/image-to-video/result", json={"request_id": "0a1b2c3d"})
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_id")
        assert (await client.get("/process/stream/cam-0a1b2c3d/status")).status_code == 404
    assert place.heard(customer.app) == []


async def test_guessing_ids_is_limited_like_everything_else(place: TwoTierDeployment) -> None:
    customer = await place.gate.customer("free")
    async with place.client(customer) as client:
        guesses = [client.get(f"/stream/{number:08x}/file.png") for number in range(40)]
        statuses = {answer.status_code for answer in await asyncio.gather(*guesses)}
    assert statuses == {404, 429}


@pytest.mark.parametrize(
    "body",
    [b'{"Request_Id":"%s"}', b'{"request_id":"0a1b2c3d","REQUEST_ID":"%s"}', b'{"reque\\u017ft_id":"%s"}', b"[]", b""],
)
async def test_another_spelling_of_a_field_is_no_way_around(place: TwoTierDeployment, body: bytes) -> None:
    """The gateway's decoder ignores case."""
    victim = await settle_in(place)
    thief = await place.gate.customer()
    async with place.client(thief) as client:
        content = body.replace(b"%s", victim.video.encode())
        assert (await client.post("/image-to-video/result", content=content)).status_code == 400
        content = b'{"Stream_ID":"%s"}' % victim.byoc.encode()
        assert (await client.post("/process/stream/start", content=content, headers=job())).status_code == 400
    assert place.heard(thief.app) == []


async def test_ids_stay_readable_to_their_owner(place: TwoTierDeployment) -> None:
    """By the short name it gave, and by what playlists and URLs show, byte for byte as the gateway wrote them."""
    owned = await settle_in(place)
    async with place.client(owned.owner) as client:
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


async def test_a_result_can_be_fetched_the_moment_it_is_known(place: TwoTierDeployment) -> None:
    """By any worker, though the one that saw it being made has only just told Redis."""
    customer = await place.gate.customer()
    async with place.client(customer) as client:
        for _ in range(25):
            assert (await client.get(await made_image(client))).status_code == 200
        request_id = await made_video(client)
        states: list[int] = []

        async def is_ready() -> bool:
            answer = await client.request("GET", "/image-to-video/result", json={"request_id": request_id})
            states.append(answer.status_code)
            return answer.status_code == 200

        await eventually(is_ready)
        assert set(states) <= {200, 202}
