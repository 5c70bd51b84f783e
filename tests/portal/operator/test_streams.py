"""A stream that an operator ends is charged up to then, and its gateway is told to end it."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest

from config.workloads import Workload
from middlewares.auth.records import Role
from proxy.mock_gateway.gateway import Hooks
from tests.live.server_fixture import hooks_of
from tests.portal.browser import text_of
from tests.portal.operator.conftest import HOME, ROLES, House, submit
from tests.support.deployment import Customer, eventually
from tests.support.gateways import OFFER, SDP

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]

STREAMS = f"{HOME}/streams"


ATTEMPTS = 3
"""A gateway drops a stream where it gets no good response to its webhook, and its client publishes again."""


async def published(house: House, name: str = "cam") -> tuple[Customer, str]:
    """Begin a live stream; return its customer, and its id at the gateway."""
    for gateway in (house.deployment.gateway, house.second):
        for hook in Hooks.__dataclass_fields__:
            setattr(gateway.hooks, hook, getattr(hooks_of(house.deployment.private), hook))
    for _ in range(ATTEMPTS):
        customer = await house.deployment.customer("live")
        async with httpx.AsyncClient(base_url=house.deployment.public, trust_env=False) as http:
            path = f"/live/video-to-video/{name}/whip"
            response = await http.post(path, content=OFFER, headers=SDP | customer.headers, timeout=30)
            assert response.status_code == 201, response.text
        stream = f"{customer.app}_{name}"

        async def shown(stream: str = stream) -> bool:
            return stream in (await house.by(Role.VIEWER).page(STREAMS)).text

        await eventually(shown)
        if any(stream in gateway.live for gateway in (house.deployment.gateway, house.second)):
            return customer, stream
    raise AssertionError([line for line in house.deployment.lines() if line.get("app") == customer.app])


def fields(customer: Customer, stream: str) -> Mapping[str, str]:
    """Return the fields of the form that ends a stream."""
    return {"app": customer.app, "stream": stream, "workload": Workload.LIVE_VIDEO_TO_VIDEO}


async def test_an_ended_stream_is_charged_and_kicked_at_its_gateway(house: House) -> None:
    customer, stream = await published(house)
    gateways = house.deployment.gateway, house.second

    async def charged() -> bool:
        for each in gateways:
            await each.beat()
        return len(await house.deployment.events(customer.app)) > 1

    await eventually(charged)
    for role in ROLES:
        page = await house.by(role).page(STREAMS)
        assert (f"{STREAMS}/end" in page.text) == role.covers(Role.SUPPORT)
    refused = await submit(house.by(Role.VIEWER), f"{STREAMS}/end", **fields(customer, stream))
    assert refused.status_code == 403
    ended = await submit(house.by(Role.SUPPORT), f"{STREAMS}/end", **fields(customer, stream))
    assert ended.status_code == 303, ended.text
    assert stream not in (await house.by(Role.SUPPORT).page(STREAMS)).text
    before = await house.deployment.events(customer.app)

    async def kicked() -> bool:
        for each in gateways:
            await each.beat()
        return stream in [*gateways[0].kicked, *gateways[1].kicked]

    await eventually(kicked)
    assert await house.deployment.events(customer.app) == before, "nothing is charged for it any more"
    again = await submit(house.by(Role.SUPPORT), f"{STREAMS}/end", **fields(customer, stream))
    assert again.status_code == 404
    lines = await house.audit(app=customer.app, action="stream.end")
    assert [each[1:] for each in lines] == [("done", ""), ("refused", "unknown_id")]


async def test_what_names_no_stream_ends_nothing(house: House) -> None:
    customer, stream = await published(house, "other")
    good = fields(customer, stream)
    for wrong in ({"app": "x"}, {"stream": ""}, {"workload": "llm"}, {"workload": ""}):
        response = await submit(house.by(Role.ADMIN), f"{STREAMS}/end", **{**good, **wrong})
        assert response.status_code == 400, wrong
    stranger = await house.deployment.customer("live")
    sent = await submit(house.by(Role.ADMIN), f"{STREAMS}/end", **{**good, "app": stranger.app})
    assert sent.status_code == 404
    assert stream in text_of(await house.by(Role.ADMIN).page(STREAMS))
    assert (await submit(house.by(Role.ADMIN), f"{STREAMS}/end", **good)).status_code == 303
