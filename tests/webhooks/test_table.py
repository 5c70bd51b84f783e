"""Hazard: a webhook that somebody adds to the table, and anybody may call."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from proxy.webhooks.table import WEBHOOKS, Webhook
from tests.live.assertions import LedgerView
from tests.live.server_fixture import SECRET, Rig, rig, settings_of

pytestmark = pytest.mark.ci


EVERY = pytest.mark.parametrize("webhook", WEBHOOKS, ids=[webhook.path for webhook in WEBHOOKS])
WRONG: list[dict[str, Any]] = [
    {"headers": {}},
    {"headers": {"x-api-key": ""}},
    {"headers": {"x-api-key": SECRET[:-1]}},
    {"headers": {"x-api-key": SECRET + "x"}},
    {"headers": {"x-api-key": SECRET.upper()}},
    {"headers": {"authorization": f"Basic {SECRET}"}},
    {"headers": {"authorization": "Bearer"}},
    {"headers": {"x-secret": SECRET}},
    {"headers": {"cookie": f"secret={SECRET}"}},
    {"headers": {}, "params": {"secret": "\N{SNOWMAN}"}},
]
RIGHT: list[dict[str, Any]] = [
    {"headers": {"x-api-key": SECRET}},
    {"headers": {"authorization": SECRET}},
    {"headers": {"authorization": f"Bearer {SECRET}"}},
    {"headers": {}, "params": {"secret": SECRET}},
]


async def status_and_code(live: Rig, webhook: Webhook, body: object, **request: Any) -> tuple[int, str]:
    path = webhook.path.replace("{tier}", "premium")
    response = await live.ask(path, body, method=webhook.method, **request)
    return response.status_code, response.json()["code"]


def served(webhook: Webhook) -> tuple[int, str]:
    """What a webhook responds, once the secret is right, to a body that is no gateway's or for an unknown tier."""
    return (400, "malformed_json") if webhook.method == "POST" else (404, "not_found")


def test_no_row_hides_another() -> None:
    paths = [webhook.path for webhook in WEBHOOKS]
    assert len(paths) >= 3
    assert len(set(paths)) == len(paths)
    assert all(path.startswith("/webhooks/") for path in paths)


@EVERY
async def test_without_its_secret_a_webhook_is_not_there(ledger_view: LedgerView, webhook: Webhook) -> None:
    async with rig(ledger_view, settings_of(secret=None)) as live:
        for request in RIGHT + WRONG:
            assert await status_and_code(live, webhook, {}, **request) == (404, "not_found")
        response = await live.ask(webhook.path, {}, method=webhook.method)
        assert f"`{webhook.secret.setting}`" in response.json()["detail"]


@EVERY
async def test_whoever_does_not_show_the_secret_is_refused(ledger_view: LedgerView, webhook: Webhook) -> None:
    async with rig(ledger_view, settings_of()) as live:
        for request in WRONG:
            assert await status_and_code(live, webhook, {}, **request) == (401, "missing_credentials"), request
        for request in RIGHT:
            assert await status_and_code(live, webhook, "no object", **request) == served(webhook), request
        if webhook.method == "POST":
            assert (await live.ask(webhook.path, {"url": "a" * 2**20})).status_code == 413


@pytest.mark.slow
@EVERY
async def test_a_secret_that_was_replaced_is_worth_nothing(ledger_view: LedgerView, webhook: Webhook) -> None:
    async with rig(ledger_view, settings_of()) as live:
        await live.webhooks.configure(settings_of(secret=SecretStr("another-secret-of-theirs")))
        assert await status_and_code(live, webhook, {}) == (401, "missing_credentials")
        await live.webhooks.close()
        assert await status_and_code(live, webhook, {}) == (404, "not_found")
        await live.webhooks.configure(settings_of())
        assert await status_and_code(live, webhook, []) == served(webhook)
