"""The tutorial's calls in TypeScript, and clients that none of us wrote, against a running Tollgate.

They need `node` and `npm`, and the first time a registry; without them the tests are skipped, and say so.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from config.control import IssuerSettings
from proxy.identity.issuer_keys import IssuerKeys
from proxy.identity.token_issuer import TokenIssuer, TokenSubject
from proxy.mock_gateway.media import png
from tests.clients.conftest import PRICE, SLOW_PER_MINUTE
from tests.support.builder import BuilderApp, builder_app
from tests.support.deployment import Deployment

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="package")]
HERE = Path(__file__).parent
FILES = ("package.json", "package-lock.json", "tsconfig.json", *(each.name for each in HERE.glob("*.[tm]*s")))
FOREIGN = ("built/oauth.js", "sdk.mjs", "openid.mjs")


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install what the lock file pins, without any script of a package, and compile; skip where that is impossible."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("node")
    for name in FILES:
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
    await node(folder, "node_modules/typescript/bin/tsc", {})
    return folder


async def node(folder: Path, script: str, environment: Mapping[str, str]) -> str:
    """Run a script; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        "node",
        script,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(90):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, output.decode()
    return output.decode()


def credentials(prefix: str, app: BuilderApp) -> dict[str, str]:
    """Return the variables that name an app."""
    return {f"{prefix}CLIENT_ID": app.client_id, f"{prefix}CLIENT_SECRET": app.secret}


@pytest.mark.parametrize("script", FOREIGN)
async def test_a_foreign_client_gets_on(app: BuilderApp, modules: Path, script: str) -> None:
    await app.user("ann")
    key = (await app.http.post(f"{app.path}/users/ann/keys", json={}, auth=app.basic)).json()["key"]
    environment = {"TOLLGATE": str(app.http.base_url).rstrip("/"), "API_KEY": key, **credentials("", app)}
    assert f"{Path(script).stem} ok" in await node(modules, script, environment)


async def test_every_call_and_every_detail_of_the_tutorial(app: BuilderApp, running: Deployment, modules: Path) -> None:
    apps = {
        prefix: await builder_app(running, app.http, plan)
        for prefix, plan in (("", "priced"), ("OTHER_", "priced"), ("POOR_", "prepaid"), ("SLOW_", "slow"))
    }
    environment = {
        "TOLLGATE": running.public,
        "PRICE": str(PRICE),
        "SLOW_PER_MINUTE": str(SLOW_PER_MINUTE),
        "PNG": b64encode(png(8, 8)).decode(),
        "EXPIRED_TOKEN": expired(running, apps[""].client_id, await apps[""].user("expired")),
    }
    for prefix, each in apps.items():
        environment |= credentials(prefix, each)
    output = await node(modules, "built/tutorial.js", environment)
    print(output)
    lines = output.splitlines()
    assert lines[-1] == "tutorial ok"
    assert len([line for line in lines if line.startswith("held: ")]) == 20
    bodies = [line.split()[1:] for line in lines if line.startswith("body: ")]
    assert len(bodies) == 2
    for request_id, digest in bodies:
        assert running.record(request_id).body_sha256 == digest


def expired(running: Deployment, app: str, user: str) -> str:
    """Return a token of a user that ended an hour ago."""
    keys = IssuerKeys.open(running.settings.data_dir, IssuerSettings())
    issuer = TokenIssuer(running.public, keys, IssuerSettings(), clock=lambda: time.time() - 7_200)
    return issuer.issue(TokenSubject(app, user), {"inference"}).text
