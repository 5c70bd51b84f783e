"""The whole product archives what it serves, without any configuration."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.support.deployment import deployed, eventually

pytestmark = pytest.mark.ci


async def test_served_requests_reach_the_history(tmp_path: Path) -> None:
    async with deployed(tmp_path) as deployment:
        customer = await deployment.customer()
        async with httpx.AsyncClient(base_url=deployment.public, headers=customer.headers) as client:
            for _ in range(3):
                body = {"model_id": "m", "prompt": "p", "width": 64, "height": 64}
                assert (await client.post("/text-to-image", json=body)).status_code == 200
        await deployment.settled(3)

        async def archived() -> bool:
            _, out, _ = await deployment.cli("history", "status", "--json")
            streams = json.loads(out)["streams"]
            return bool(streams) and all(each["waiting"] == 0 for each in streams)

        await eventually(archived)
        async with httpx.AsyncClient() as client:
            metrics = (await client.get(f"{deployment.private}/metrics")).text
        assert "tollgate_history_unavailable 0.0" in metrics or "tollgate_history_lag_seconds 0.0" in metrics
        assert (deployment.settings.data_dir / "history.sqlite").stat().st_mode & 0o777 == 0o600
