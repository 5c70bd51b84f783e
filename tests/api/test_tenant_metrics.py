"""A tenant scrapes its own numbers: those of the ledger, of nobody else, in a bounded number of series."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.builder import bearer, builder_app
from tests.support.deployment import Deployment, deployed

pytestmark = pytest.mark.ci


PRICE = 7 * 10**17
PLANS = {
    "scraped": {
        "tier": "standard",
        "billing": "credits",
        "prices": [{"workload": "text-to-image", "unit": "generations", "amount": str(PRICE)}],
        "limits": {
            "app": {"requests_per_minute": 100, "caps": [{"unit": "amount", "per": "month", "max": str(10**20)}]},
            "user": {"requests_per_day": 50},
        },
    }
}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Deployment, httpx.AsyncClient]]:
    async with (
        deployed(tmp_path, {"plans": PLANS}) as deployment,
        httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False, timeout=30) as http,
    ):
        yield deployment, http


async def scraped(http: httpx.AsyncClient, credential: str) -> dict[str, float]:
    """Return the samples by name and labels."""
    response = await http.get("/api/v1/metrics", headers=bearer(credential))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    return {
        each.name + "".join(f" {value}" for _, value in sorted(each.labels.items())): each.value
        for family in text_string_to_metric_families(response.text)
        for each in family.samples
    }


async def test_a_tenant_scrapes_what_is_its_own(served: tuple[Deployment, httpx.AsyncClient]) -> None:
    deployment, http = served
    mine, other = [await builder_app(deployment, http, "scraped") for _ in range(2)]
    for app in (mine, other):
        await deployment.cli("credits", "grant", str(10**20), "--app", app.client_id, "--reference", "begin")
    user = await mine.user("ann")
    keys = {
        "app": await deployment.key(mine.client_id),
        "user": await deployment.key(mine.client_id, user),
        "other": await deployment.key(other.client_id),
    }
    for number, who in enumerate(("app", "user", "user", "other")):
        body = {"model_id": f"model-{number}", "prompt": "p"}
        assert (await http.post("/text-to-image", json=body, headers=bearer(keys[who]))).status_code == 200
    await deployment.settled(4, mine.client_id)
    await deployment.settled(2, other.client_id)

    found = await scraped(http, keys["app"])
    assert found["tollgate_tenant_requests_total text-to-image"] == 3
    assert found["tollgate_tenant_spend_eth_total text-to-image"] == pytest.approx(2.1)
    assert found["tollgate_tenant_units_total generations text-to-image"] == 3
    assert found["tollgate_tenant_credits_available_eth"] == pytest.approx(97.9)
    assert found["tollgate_tenant_running_requests"] == 0
    assert found["tollgate_tenant_limit app-requests-per-minute requests"] == 100
    assert found["tollgate_tenant_limit_used app-requests-per-minute requests"] == 3
    spent = next(name for name in found if name.startswith("tollgate_tenant_limit_used app-amount"))
    assert found[spent] == pytest.approx(2.1)
    of_user = await scraped(http, keys["user"])
    assert of_user["tollgate_tenant_requests_total text-to-image"] == 2
    assert of_user["tollgate_tenant_limit_used user-requests-per-day requests"] == 2
    assert "tollgate_tenant_credits_available_eth" not in of_user, "the app's wallet is no business of a user"
    assert (await scraped(http, keys["other"]))["tollgate_tenant_requests_total text-to-image"] == 1
    assert not [name for name in found if "model" in name or user in name], "no series of what clients send"


async def test_whoever_has_no_credential_scrapes_nothing(served: tuple[Deployment, httpx.AsyncClient]) -> None:
    _, http = served
    assert (await http.get("/api/v1/metrics")).status_code == 401
    assert (await http.get("/api/v1/metrics", headers=bearer("tgk_" + "a" * 60))).status_code == 401
