"""The catalog of a running deployment: who sees it, and that the routes it names and lists agree with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.api.catalog.models import Catalog
from tests.support.builder import BuilderApp, bearer
from tests.support.deployment import Deployment, deployed

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]
CATALOG = "/api/v1/catalog"
MODELS: dict[str, Any] = {
    "control": {"catalog": {"public": True, "plans": ["shop"]}},
    "plans": {
        "shop": {
            "billing": "usage",
            "prices": [{"workload": "llm", "model": "priced", "unit": "output_tokens", "amount": 7}],
        }
    },
    "edge": {"default_models": {"llm": "usual"}, "chats": {"models": {"known": {}}}},
}


async def test_any_valid_credential_sees_it_and_nobody_else(running: Deployment, app: BuilderApp) -> None:
    customer = await running.customer()
    user = await app.user("ann")
    for credential in (
        customer.key,
        await app.token("read"),
        await app.token("users:token"),
        await app.user_token(user),
    ):
        response = await app.http.get(CATALOG, headers=bearer(credential))
        assert response.status_code == 200, response.text
        found = Catalog.model_validate(response.json())
        assert found.own_plan == "unlimited"
        assert response.headers["cache-control"] == "no-store"
    assert (await app.http.get(CATALOG, auth=app.basic)).status_code == 200
    for headers in ({}, bearer("tgk_no")):
        assert (await app.http.get(CATALOG, headers=headers)).status_code == 401


async def test_a_public_catalog_lists_the_models_of_v1_models(tmp_path: Path) -> None:
    async with deployed(tmp_path, MODELS) as running:
        customer = await running.customer("shop")
        async with httpx.AsyncClient(base_url=running.public, trust_env=False, timeout=30) as http:
            found = Catalog.model_validate((await http.get(CATALOG)).json())
            listed = (await http.get("/v1/models", headers=customer.headers)).json()["data"]
            [llm] = [each for each in found.workloads if each.workload == "llm"]
            assert llm.models == [each["id"] for each in listed] == ["known", "priced", "usual"]
            assert {each.availability for each in llm.capability} == {"available"}
            assert ([plan.name for plan in found.plans], found.own_plan) == (["shop"], None)
            assert (await http.get(CATALOG, headers=bearer("tgk_no"))).status_code == 401
            text = (await http.get("/llms.txt")).text
            assert "priced" in text
            assert "per 1,000,000 output tokens" in text


async def test_the_text_and_both_schemas_need_no_credential(http: httpx.AsyncClient) -> None:
    text = await http.get("/llms.txt")
    assert (text.status_code, text.headers["content-type"]) == (200, "text/markdown; charset=utf-8")
    for link in ("/api/v1/data-openapi.json", "/api/v1/openapi.json", CATALOG):
        assert f"({link})" in text.text
    schema = (await http.get("/api/v1/data-openapi.json")).json()
    assert "/v1/chat/completions" in schema["paths"]
    assert CATALOG in (await http.get("/api/v1/openapi.json")).json()["paths"]
    assert (await http.get("/llms.txt/x")).status_code == 404
    assert (await http.post("/llms.txt")).status_code == 405
