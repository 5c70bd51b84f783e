"""Clients in JavaScript that none of us wrote, and the tutorial's own calls, against a running Tollgate.

They need `node` and `npm`, and the first time a registry; without them the tests are skipped, and say so.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.builder import BuilderApp

pytestmark = pytest.mark.asyncio(loop_scope="package")
HERE = Path(__file__).parent
SCRIPTS = ("tutorial", "sdk", "openid")


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install what the lock file pins, without any script of a package; skip where that is impossible."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", *(f"{script}.mjs" for script in SCRIPTS)):
        shutil.copy(HERE / name, folder)
    command = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0", "--prefer-offline")
    try:
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=folder, capture_output=True, text=True, timeout=90, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm ci takes too long")
    if done.returncode:
        pytest.skip(f"npm ci fails: {done.stderr[-300:]}")
    return folder


@pytest.mark.parametrize("script", SCRIPTS)
async def test_a_foreign_client_gets_on(app: BuilderApp, modules: Path, script: str) -> None:
    await app.user("ann")
    key = (await app.http.post(f"{app.path}/users/ann/keys", json={}, auth=app.basic)).json()["key"]
    environment = {
        "PATH": os.environ["PATH"],
        "TOLLGATE": str(app.http.base_url).rstrip("/"),
        "CLIENT_ID": app.client_id,
        "CLIENT_SECRET": app.secret,
        "API_KEY": key,
    }
    process = await asyncio.create_subprocess_exec(
        "node",
        f"{script}.mjs",
        cwd=modules,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert f"{script} ok" in output.decode()
