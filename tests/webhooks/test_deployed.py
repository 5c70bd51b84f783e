"""Signers and gateways call a Tollgate that runs as a user runs it; the block list is changed by the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.live.server_fixture import SECRET
from tests.support.deployment import TOLLGATE, deployed

pytestmark = pytest.mark.slow

ADDRESS = "https://orch.example.com:8935"


async def test_a_running_tollgate_serves_signers_and_discovery(tmp_path: Path) -> None:
    config = {
        "webhooks": {
            "signer": {"secret": SECRET},
            "discovery": {"secret": SECRET, "tiers": {"premium": {"orchestrators": [{"address": ADDRESS}]}}},
        }
    }
    async with deployed(tmp_path, config) as running:
        customer = await running.customer()
        async with httpx.AsyncClient(base_url=running.private, trust_env=False, timeout=30) as http:
            question = {"headers": {"Authorization": [f"Bearer {customer.key}"]}, "state": {"StateID": "s1"}}
            allowed = await http.post("/webhooks/signer", json=question, headers={"x-api-key": SECRET})
            assert allowed.status_code == 200
            assert allowed.json()["auth_id"] == f"{customer.app}:app"
            url = f"/webhooks/orchestrators/premium?secret={SECRET}"
            assert (await http.get(url)).json() == [{"address": ADDRESS, "score": 1.0}]
            block = await asyncio.create_subprocess_exec(
                *TOLLGATE, "orchestrators", "block", ADDRESS, env=running.environment, stdout=asyncio.subprocess.DEVNULL
            )
            assert await block.wait() == 0
            assert (await http.get(url)).json() == []
            metrics = (await http.get("/metrics")).text
            assert 'tollgate_signer_decisions_total{code="allowed"} 1.0' in metrics
            assert (await http.get(f"{running.public}{url}")).status_code == 404
