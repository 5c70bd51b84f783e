"""A drained gateway gets no new work from any worker, also after a restart of workers, until it is resumed."""

from __future__ import annotations

import json

import httpx
import pytest
import pytest_asyncio

from middlewares.auth.records import Role
from middlewares.response.problem import TITLES
from tests.portal.browser import read_page, text_of
from tests.portal.conftest import IMAGE
from tests.portal.operator.conftest import HOME, ROLES, House, submit
from tests.portal.operator.test_streams import fields, published
from tests.support.deployment import Customer, eventually

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]

GATEWAYS = f"{HOME}/gateways"


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def customer(house: House) -> Customer:
    """Return an app without limits."""
    return await house.deployment.customer()


async def spread(house: House, customer: Customer, number: int = 12) -> tuple[int, int]:
    """Send requests, each on a connection of its own; return how many came to each of the gateways."""
    gateways = house.deployment.gateway, house.second
    before = [len(each.requests) for each in gateways]
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=house.deployment.public, trust_env=False, limits=limits) as http:
        for _ in range(number):
            response = await http.post("/text-to-image", json=IMAGE, headers=customer.headers, timeout=30)
            assert response.status_code == 200
    first, second = (len(each.requests) - had for each, had in zip(gateways, before, strict=True))
    return first, second


async def listed(house: House) -> dict[str, bool]:
    """Return which gateways are drained, by the command."""
    _, text, _ = await house.deployment.cli("gateways", "list", "--json")
    return {each["gateway"]: each["drained"] for each in json.loads(text)}


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
async def test_only_an_administrator_drains(house: House, role: Role) -> None:
    browser, gateway = house.by(role), house.second.url
    page = await browser.page(GATEWAYS)
    offered = {action for method, action in read_page(page).forms if method == "POST"}
    assert (f"{GATEWAYS}/drain" in offered) == (role is Role.ADMIN)
    for act in ("drain", "resume"):
        response = await submit(browser, f"{GATEWAYS}/{act}", gateway=gateway)
        assert response.status_code == (303 if role is Role.ADMIN else 403), response.text
        assert (await listed(house))[gateway] == (role is Role.ADMIN and act == "drain")
    for wrong, status in (("", 400), ("http://192.0.2.1:1", 404), ("javascript:x", 400)):
        if role is Role.ADMIN:
            assert (await submit(browser, f"{GATEWAYS}/drain", gateway=wrong)).status_code == status


@pytest.mark.slow
async def test_no_worker_sends_new_work_to_a_drained_gateway(house: House, customer: Customer) -> None:
    admin, gateway = house.by(Role.ADMIN), house.second.url
    first, second = await spread(house, customer)
    assert min(first, second) > 0
    await submit(admin, f"{GATEWAYS}/drain", gateway=gateway)

    async def drained() -> bool:
        return (await spread(house, customer))[1] == 0

    await eventually(drained, 20)
    assert await spread(house, customer, 20) == (20, 0)
    assert "Drained since" in text_of(await admin.page(GATEWAYS))
    for process in house.deployment.workers():
        process.kill()
    await eventually(lambda: len(house.deployment.workers()) == 2)
    await eventually(drained)
    assert await spread(house, customer, 20) == (20, 0), "a worker that begins knows of it"
    code, text, _ = await house.deployment.cli("gateways", "resume", gateway, "--json")
    assert (code, json.loads(text)["changed"]) == (0, True)

    async def back() -> bool:
        return (await spread(house, customer))[1] > 0

    await eventually(back, 20)
    lines = [each[1:] for each in await house.audit(action="gateway")]
    assert lines[-2:] == [("done", ""), ("done", "")]


async def test_failures_are_counted_by_gateway_and_code(house: House, customer: Customer) -> None:
    shown = text_of(await house.by(Role.VIEWER).page(GATEWAYS))
    assert house.deployment.gateway.url in shown
    assert "Health Up" in shown
    async with httpx.AsyncClient(base_url=house.deployment.public, trust_env=False) as http:
        files = {"image": ("in.png", b"no image", "image/png")}
        fields = {"model_id": "timbrooks/instruct-pix2pix", "prompt": "p"}
        dropped = await http.post("/image-to-image", data=fields, files=files, headers=customer.headers, timeout=30)
    assert dropped.status_code == 422, dropped.text
    title = TITLES[dropped.json()["code"]]

    async def counted() -> bool:
        pages = [await house.by(Role.VIEWER).page(path) for path in (GATEWAYS, HOME)]
        return all(title in text_of(page) for page in pages)

    await eventually(counted)


async def test_a_gateway_that_is_no_url_is_refused_and_fails_nothing(house: House) -> None:
    for act in ("drain", "resume"):
        for text in ("", "http", "127.0.0.1", "ftp://127.0.0.1"):
            refused = await submit(house.by(Role.ADMIN), f"{GATEWAYS}/{act}", gateway=text)
            assert (refused.status_code, "expected its origin" in refused.text) == (400, True), text
        for text in ("http://[::1", "https://", "http://x:99999", "http://\u2100"):
            unknown = await submit(house.by(Role.ADMIN), f"{GATEWAYS}/{act}", gateway=text)
            assert unknown.status_code == 404, text


async def test_what_a_drained_gateway_alone_has_still_goes_to_it(house: House) -> None:
    customer, stream = await published(house, "kept")
    gateways = house.deployment.gateway, house.second
    [owner] = [each for each in gateways if stream in each.live]
    await submit(house.by(Role.ADMIN), f"{GATEWAYS}/drain", gateway=owner.url)
    number = gateways.index(owner)

    async def drained() -> bool:
        return (await spread(house, customer))[number] == 0

    await eventually(drained, 20)
    before = len(owner.requests)
    async with httpx.AsyncClient(base_url=house.deployment.public, trust_env=False) as http:
        path = "/live/video-to-video/kept/status"
        assert (await http.get(path, headers=customer.headers, timeout=30)).status_code == 200
    assert len(owner.requests) == before + 1
    ended = await submit(house.by(Role.ADMIN), f"{HOME}/streams/end", **fields(customer, stream))
    assert ended.status_code == 303
    await submit(house.by(Role.ADMIN), f"{GATEWAYS}/resume", gateway=owner.url)
