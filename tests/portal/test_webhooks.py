"""Webhooks are registered, tried, changed, rotated, replayed and removed, and signed by the secret that was shown."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import insert

from proxy.control.developers.records import MemberRole
from proxy.history.store import History
from proxy.history.tables import OUTBOX
from proxy.portal.access.sent_forms import new_form_id
from tests.portal.browser import Browser, read_page, text_of
from tests.portal.conftest import Tenant, tenant
from tests.support.deployment import Deployment, eventually
from tests.webhooks.notifications.receiver import Receiver

pytestmark = pytest.mark.asyncio(loop_scope="package")

SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]+")


async def registered(browser: Browser, mine: Tenant, receiver: Receiver, **fields: str) -> tuple[str, str]:
    """Return the path of a new endpoint, and its secret."""
    page = await browser.post(f"{mine.path}/webhooks", url=receiver.url, **fields)
    assert page.status_code == 200, text_of(page)
    [secret] = set(SECRET.findall(page.text))
    [path] = {each for each in read_page(page).links if "/webhooks/" in each}
    return path, secret


@pytest.mark.slow
async def test_an_endpoint_from_its_registration_to_its_end(running: Deployment, receiver: Receiver) -> None:
    mine = await tenant(running, "Told")
    browser = await mine.member("owner")
    path, secret = await registered(
        browser, mine, receiver, description="Ours <b>", balance_below="1.5", **{"kind-key.revoked": "on"}
    )
    receiver.secrets[:] = [secret]
    shown = await browser.page(path)
    assert "Takes A key was revoked Balance that is low 1.5 ETH" in text_of(shown)
    assert not SECRET.search(shown.text), "a secret is shown once"
    assert "Ours <b>" in text_of(await browser.page(f"{mine.path}/webhooks"))

    tested = text_of(await browser.post(f"{path}/test"))
    assert "The test was taken" in tested
    assert "Response 200" in tested
    assert receiver.received[-1][1]["type"] == "webhook.test"

    await running.cli("keys", "revoke", mine.key.split("_")[1])

    async def is_delivered() -> bool:
        return "Delivered" in text_of(await browser.page(path))

    await eventually(is_delivered)
    [replay] = [action for _, action in read_page(await browser.page(path)).forms if action.endswith("/replay")]
    assert (await browser.post(replay)).status_code == 303
    name = replay.split("/")[-2]

    async def is_repeated() -> bool:
        return receiver.ids.count(name) == 2

    await eventually(is_repeated)
    assert (await browser.post(f"{path}/deliveries/msg_{'0' * 32}/replay")).status_code == 404

    rotated = await browser.post(f"{path}/rotate", overlap="24")
    receiver.secrets += SECRET.findall(rotated.text)
    assert len(set(receiver.secrets)) == 2
    await browser.post(f"{path}/test")
    assert receiver.signatures[-1] == 2

    changed = await browser.post(f"{path}/change", url=receiver.url, description="Renamed")
    assert changed.status_code == 303
    assert "Takes Everything Balance that is low Not set" in text_of(await browser.page(path))
    assert (await browser.post(f"{path}/status", status="paused")).status_code == 303
    assert "Status Paused" in text_of(await browser.page(path))
    removed = await browser.post(f"{path}/remove", name="Renamed")
    assert removed.headers["location"] == f"{mine.path}/webhooks"
    assert (await browser.get(path)).status_code == 404
    _, audit, _ = await running.cli("audit", "list", "--app", mine.app, "--action", "webhook", "--json")
    for action in ("create", "test", "replay", "rotate_secret", "change", "remove"):
        assert f'"webhook.{action}"' in audit


async def test_an_endpoint_is_removed_by_its_name_alone(running: Deployment, receiver: Receiver) -> None:
    """Hazard: one click ends an endpoint for good, with its secret and all that waits for it."""
    mine = await tenant(running, "Removed by name")
    browser = await mine.member("owner")
    for description in ("Our  <b> endpoint", ""):
        path, _ = await registered(browser, mine, receiver, description=description)
        name = "Our <b> endpoint" if description else path.rpartition("/")[2]
        assert f"Type {name}" in text_of(await browser.page(path))
        for wrong in ({}, {"name": "Our"}, {"name": name.upper()}):
            refused = await browser.post(f"{path}/remove", **wrong)
            assert (refused.status_code, f"Type {name} to remove" in text_of(refused)) == (400, True)
        assert (await browser.page(path)).status_code == 200
        assert (await browser.post(f"{path}/remove", name=name)).status_code == 303
        assert (await browser.get(path)).status_code == 404


async def test_fields_that_cannot_be_meant_register_nothing(used: Tenant) -> None:
    browser = await used.member("owner")
    good = "https://hooks.example.com/in"
    for fields in (
        {"url": ""},
        {"url": "http://hooks.example.com/"},
        {"url": "https://user:pass@hooks.example.com/"},
        {"url": "https://10.0.0.1/"},
        {"url": "https://169.254.169.254/latest"},
        {"url": f"https://hooks.example.com/{'a' * 2_000}"},
        {"url": good, "balance_below": "-1"},
        {"url": good, "description": "d" * 101},
        {"url": good, "description": "a\nb"},
    ):
        refused = await browser.post(f"{used.path}/webhooks", **fields)
        assert refused.status_code == 400, fields
    assert "No URL is registered yet." in text_of(await browser.page(f"{used.path}/webhooks"))


async def test_a_host_that_encodes_no_name_is_refused_and_fails_nothing(used: Tenant) -> None:
    """Hazard: `xn--` begins a name in Punycode, and what follows is none; reading it raises."""
    browser = await used.member("owner")
    for host in ("xn--", "xn--a", "XN--", "xn--zz.example.com"):
        refused = await browser.post(f"{used.path}/webhooks", url=f"https://{host}/")
        assert (refused.status_code, "must be an https URL" in text_of(refused)) == (400, True), host


@pytest.mark.slow
@pytest.mark.parametrize("role", ["developer", "billing", "viewer"])
async def test_who_does_not_manage_the_app_changes_no_webhook(
    running: Deployment, receiver: Receiver, role: MemberRole
) -> None:
    mine = await tenant(running, "Looked at")
    receiver.secrets.clear()
    path, _ = await registered(await mine.member("owner"), mine, receiver)
    visitor, other = await mine.member(role), await (await tenant(running, "Others")).member("owner")
    before = text_of(await visitor.page(path))
    assert {action for method, action in read_page(await visitor.page(path)).forms if "/apps/" in action} == set()
    for act, fields in (
        ("change", {"url": "https://a.example.com/"}),
        ("status", {"status": "paused"}),
        ("rotate", {"overlap": "0"}),
        ("test", {}),
        ("remove", {}),
        (f"deliveries/msg_{'0' * 32}/replay", {}),
    ):
        assert (await visitor.post(f"{path}/{act}", **fields)).status_code == 403, act
        assert (await other.post(f"{path}/{act}", **fields)).status_code == 404, act
    assert (await other.get(path)).status_code == 404
    assert text_of(await visitor.page(path)) == before


async def test_what_is_not_kept_any_more_is_not_offered_to_be_sent_again(
    running: Deployment, receiver: Receiver
) -> None:
    """Hazard: the button of an old delivery, whose body is gone, leads to an error."""
    mine = await tenant(running, "Old deliveries")
    browser = await mine.member("owner")
    path, _ = await registered(browser, mine, receiver)
    sent = {
        "endpoint": path.rpartition("/")[2],
        "owner": mine.app,
        "kind": "key.old",
        "lasting": True,
        "error": "",
        "time": 1,
        "state": "delivered",
        "attempts": 1,
        "since": 1,
        "due": 1,
        "tried": 1,
        "status": 200,
    }
    history = History.of(running.settings)
    rows = [{**sent, "id": "msg_gone", "body": ""}, {**sent, "id": "msg_kept", "body": "{}"}]
    await history.write(lambda connection: connection.execute(insert(OUTBOX), rows).rowcount)
    await history.close()
    page = await browser.page(path)
    assert "msg_gone" in page.text
    replays = [action for _, action in read_page(page).forms if action.endswith("/replay")]
    assert replays == [f"{path}/deliveries/msg_kept/replay"]


async def test_a_form_about_what_is_not_there_was_not_done_once(used: Tenant) -> None:
    browser = await used.member("owner")
    sent = {"form_id": new_form_id(), "overlap": "24"}
    path = f"{used.path}/webhooks/{'a' * 16}/rotate"
    assert [(await browser.post(path, **sent)).status_code for _ in range(2)] == [404, 404]


async def test_the_place_of_a_page_is_a_number(running: Deployment, receiver: Receiver) -> None:
    mine = await tenant(running, "Pages of deliveries")
    browser = await mine.member("owner")
    path, _ = await registered(browser, mine, receiver)
    for before in ("x", "0", "-1", "\u0661", "9" * 30):
        assert (await browser.get(path, before=before)).status_code == 400, before
    assert "Nothing was sent before that." in text_of(await browser.page(path, before="1"))
