"""Every client route of the gateway contract (sections 1.1 to 1.7): exact bytes, right unit, source and price."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio

from config.workloads import Workload
from middlewares.routes import MATCHER, ROUTES
from middlewares.routing.route import Route
from proxy.mock_gateway.media import pattern, png, wav
from tests.support.deployment import Customer, eventually
from tests.support.gateways import (
    OFFER,
    SDP,
    TwoTierDeployment,
    deployed_two_tiers,
    job,
    made_image,
    made_stream,
    made_video,
)
from tests.usage_tracker.meters.segments import segment

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRICES = {
    "requests": 1_000_000,
    "pixels": 3,
    "generations": 10_000,
    "input_tokens": 70,
    "output_tokens": 900,
    "characters": 11,
}
SECOND = 5_000
PAID_BY_TIME = ("audio-to-text", "transcoding", "byoc")
PLAN = {
    "tier": "recorded",
    "billing": "usage",
    "prices": [
        *({"unit": unit, "amount": amount} for unit, amount in PRICES.items()),
        *({"workload": workload, "unit": "seconds", "amount": SECOND} for workload in PAID_BY_TIME),
    ],
}
PROMPT = {"model_id": "m", "prompt": "p"}
CHAT = {"model": "m", "max_tokens": 3, "stream": False, "messages": [{"role": "user", "content": "a b"}]}
IMAGE = {"image": ("a.png", png(48, 32), "image/png")}
SOUND = {"audio": ("a.wav", wav(1_500), "audio/wav")}
MEASURED, UPSTREAM, DECLARED, ESTIMATED = "measured", "upstream", "declared", "estimated"
ONE = {"requests": (1, MEASURED)}
PICTURE = {"pixels": (48 * 32, MEASURED), "generations": (1, UPSTREAM), **ONE}
TOKENS = {"input_tokens": (2, UPSTREAM), "output_tokens": (3, UPSTREAM), **ONE}
RENDITIONS = (426 * 240 + 640 * 360) * 30


@dataclass(frozen=True, slots=True)
class Case:
    """One request and its expected event. Wall time is left out, except for BYOC, which is paid by it."""

    method: str
    path: str
    model: str = ""
    units: dict[str, tuple[int | None, str]] = field(default_factory=dict)
    """Number and source by unit; None stands for wall time."""
    json: Any = None
    form: dict[str, Any] = field(default_factory=dict)
    content: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    rewritten: bool = False
    """True if its response holds URLs, which are rewritten."""


def picture(path: str, units: dict[str, tuple[int | None, str]]) -> Case:
    return Case("POST", path, "m", units, form={"data": PROMPT, "files": IMAGE})


CASES = [
    Case(
        "POST",
        "/text-to-image",
        "m",
        {"pixels": (2 * 64 * 32, DECLARED), "generations": (2, UPSTREAM), **ONE},
        {**PROMPT, "width": 64, "height": 32, "num_images_per_prompt": 2},
    ),
    picture("/image-to-image", {**PICTURE}),
    picture("/image-to-video", {"pixels": (1024 * 576 * 25, DECLARED), "generations": (1, UPSTREAM), **ONE}),
    picture("/upscale", {**PICTURE}),
    picture("/segment-anything-2", {"pixels": (48 * 32, MEASURED), **ONE}),
    picture("/image-to-text", {"pixels": (48 * 32, MEASURED), **ONE}),
    Case(
        "POST",
        "/audio-to-text",
        "m",
        {"milliseconds": (1_500, MEASURED), **ONE},
        form={"data": {"model_id": "m"}, "files": SOUND},
    ),
    Case("POST", "/llm", "m", {**TOKENS}, CHAT),
    Case("POST", "/llm", "m", {**TOKENS}, {**CHAT, "stream": True}),
    Case("POST", "/text-to-speech", "m", {"characters": (5, DECLARED), **ONE}, {"model_id": "m", "text": "hello"}),
    Case("POST", "/api/v1/inference/llm", "m", {**TOKENS}, CHAT),
    Case("POST", "/image-to-video/result", json={"request_id": "{video}"}),
    Case(
        "PUT",
        "/live/cam/1.ts",
        units={"milliseconds": (2 * 1_000, MEASURED), "pixels": (RENDITIONS, UPSTREAM), **ONE},
        content=segment("ts", "25").data,
        headers={"accept": "multipart/mixed", "content-duration": "9000"},
    ),
    Case(
        "POST",
        "/live/cam/2.mp4",
        units={"milliseconds": (2 * 1_000, MEASURED), "pixels": (RENDITIONS, ESTIMATED), **ONE},
        content=segment("mp4", "25").data,
    ),
    Case("GET", "/stream/cam.m3u8", units={**ONE}),
    Case("GET", "/stream/cam/source/0.ts", units={**ONE}),
    Case("GET", "{result}", units={**ONE}),
    Case("GET", "/recordings/cam/index.m3u8", units={**ONE}),
    Case("GET", "/recordings/cam/source.mp4", units={**ONE}),
    Case("GET", "/recordings/cam/source/0.ts", units={**ONE}),
    Case("GET", "/healthz", units={**ONE}),
    Case("POST", "/live/video-to-video/cam/whip", content=OFFER, headers=SDP, status=201),
    Case("POST", "/live/video-to-video/cam-out/whep", content=OFFER, headers=SDP, status=201),
    Case("POST", "/live/video-to-video/cam/update", json={"prompt": "p"}),
    Case("GET", "/live/video-to-video/cam/status", rewritten=True),
    Case(
        "POST",
        "/process/request/a/b?c=d",
        "c",
        {"milliseconds": (None, MEASURED), **ONE},
        content=b"\x00any bytes",
        headers=job(),
    ),
    Case("POST", "/process/stream/start", "c", json={"stream_name": "b"}, headers=job(), rewritten=True),
    Case("POST", "/process/stream/{byoc}/whip", content=OFFER, headers=SDP, status=201),
    Case("POST", "/process/stream/{byoc}/update", "c", json={"a": 1}, headers=job()),
    Case("GET", "/process/stream/{byoc}/status", rewritten=True),
    Case("GET", "/process/stream/{byoc}/data"),
    Case("POST", "/process/stream/{byoc}/stop", "c", content=b"", headers=job()),
]


@dataclass(frozen=True, slots=True)
class Tenant:
    """Customer with one of everything that can be requested again; `ids` fill the paths of cases."""

    two_tiers: TwoTierDeployment
    customer: Customer
    client: httpx.AsyncClient
    ids: dict[str, str]

    def request(self, case: Case, **headers: str) -> httpx.Request:
        path = case.path.format(**self.ids)
        body = json.loads(json.dumps(case.json).replace("{video}", self.ids["video"]))
        return self.client.build_request(
            case.method,
            path,
            json=body,
            content=case.content,
            headers={**case.headers, **headers},
            **case.form,
        )

    async def event(self, request_id: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        async def written() -> bool:
            found[:] = [
                each for each in await self.two_tiers.deployment.events(self.customer.app) if each["id"] == request_id
            ]
            return bool(found)

        await eventually(written)
        [event] = found
        return event


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tenant(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tenant]:
    async with deployed_two_tiers(tmp_path_factory.mktemp("routes"), {"plans": {"priced": PLAN}}) as two_tiers:
        customer = await two_tiers.deployment.customer("priced")
        async with two_tiers.client(customer) as client:
            push = await client.put("/live/cam/0.ts", content=segment("ts", "25").data)
            whip = await client.post("/live/video-to-video/cam/whip", content=OFFER, headers=SDP)
            assert (push.status_code, whip.status_code) == (200, 201)
            ids = {
                "result": await made_image(client),
                "video": await made_video(client),
                "byoc": (await made_stream(client, stream_name="b"))["stream_id"],
            }
            yield Tenant(two_tiers, customer, client, ids)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method} {case.path}")
async def test_a_route(tenant: Tenant, case: Case) -> None:
    sent = tenant.request(case)
    body = await sent.aread()
    response = await tenant.client.send(sent)
    assert response.status_code == case.status, response.text

    request_id = response.headers["x-request-id"]
    [record] = [each for _, each in tenant.two_tiers.forwarded(tenant.customer.app) if each.request_id == request_id]
    if case.path != "/process/stream/start":  # there Tollgate names the stream
        assert record.body_sha256 == hashlib.sha256(body).hexdigest()
    if not case.rewritten:
        assert record.bytes_sent == len(response.content)

    event = await tenant.event(request_id)
    route = route_of(record.target)
    assert (event["workload"], event["model"], event["outcome"]) == (route.workload, case.model, "complete")
    units, sources = dict(event["units"]), dict(event["provenance"])
    if "milliseconds" not in case.units:
        assert units.pop("milliseconds", 0) >= 0
        sources.pop("milliseconds", None)
    counted = {unit: units[unit] if number is None else number for unit, (number, _) in case.units.items()}
    assert units == counted
    assert sources == {unit: source for unit, (_, source) in case.units.items()}
    price = sum(PRICES[unit] * count for unit, count in counted.items() if unit in PRICES)
    if event["workload"] in PAID_BY_TIME:
        price += -(-SECOND * counted.get("milliseconds", 0) // 1_000)
    assert event["amount"] == str(price)


async def test_every_event_is_explained_as_the_ledger_holds_it(tenant: Tenant) -> None:
    """Hazard: an explanation that computes another price than was charged, or leaves out a workload."""
    events = await tenant.two_tiers.deployment.events(tenant.customer.app)
    explained = set()
    for event in events:
        found = (await tenant.client.get(f"/api/v1/explain/{event['id']}")).json()
        assert (found["state"], found["plan"], found["workload"]) == ("settled", event["plan"], event["workload"])
        assert found["hold"]["amount"] == event["held"]
        settlement = found["settlement"]
        assert settlement["agrees"] is True, (found, event)
        [shown] = [each for each in settlement["events"] if each["id"] == event["id"]]
        held = ("units", "provenance", "outcome", "status", "gateway_status", "error", "amount", "duration_ms")
        assert {name: shown[name] for name in held} == {name: event[name] for name in held}
        assert sum(int(line["amount"]) for line in shown["lines"]) == int(event["amount"])
        explained.add(event["workload"])
    assert explained == set(Workload)
    print(f"{len(events)} events of {len(explained)} workloads are explained to the unit")


PLAIN = [case for case in CASES if case.path != "/process/stream/start"]
"""Cases in which Tollgate does not read the response; elsewhere it must name a stream."""


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: f"{case.method} {case.path}")
async def test_any_response_of_a_route_arrives_byte_for_byte(tenant: Tenant, case: Case) -> None:
    response = await tenant.client.send(tenant.request(case, **{"x-mock-gateway": "bytes=70000,chunks=7"}))
    assert (response.status_code, response.content == b"".join(pattern(70_000))) == (200, True)


def route_of(target: str) -> Route:
    """Return the route of a request target."""
    route = MATCHER.find(target.partition("?")[0].encode())
    assert route is not None
    return route


async def test_every_route_is_tried() -> None:
    own = {
        "chat-completions",
        "models",
        "live-whip-session",
        "byoc-stream-whip-session",
    }  # Tollgate's own, with tests of their own
    tried = {route_of(case.path.replace("{byoc}", "byoc")).name for case in CASES if not case.path.startswith("{")}
    assert tried == {route.name for route in ROUTES} - own
