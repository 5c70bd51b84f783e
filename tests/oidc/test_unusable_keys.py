"""Hazard: the file of the signing keys is damaged, and a reload takes every worker down with it."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import pytest

from tests.support.builder import builder_app
from tests.support.deployment import deployed, eventually

pytestmark = pytest.mark.ci


async def test_a_reload_on_damaged_keys_is_refused_and_tokens_go_on(tmp_path: Path) -> None:
    async with (
        deployed(tmp_path) as deployment,
        httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False) as http,
    ):
        app = await builder_app(deployment, http)
        await app.token()
        file = deployment.settings.data_dir / "issuer" / "keys.json"
        whole = file.read_bytes()
        file.write_text("[{")
        deployment.signal(signal.SIGHUP)

        def refused() -> bool:
            return any(line.get("event") == "reload_refused" for line in deployment.lines())

        await eventually(refused)
        assert await app.token(), "the worker keeps the keys that it has"
        file.write_bytes(whole)
        code, _, err = await deployment.cli("issuer", "rotate")
        assert code == 0, err
