"""Hazards of forward-auth that only the other proxy has: the shipped configurations, tried with real ones."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from config.workloads import Workload
from middlewares.auth.keys import pepper_of
from proxy.control.api_keys import ApiKeys
from tests.docs.pages import ROOT
from tests.support.builder import BuilderApp, bearer, builder_app
from tests.support.deployment import Deployment, eventually
from tests.support.served import served

pytestmark = pytest.mark.asyncio(loop_scope="package")
FRONTS = ROOT / "deploy/fronts"
NGINX = """
daemon off; error_log stderr; pid {folder}/nginx.pid; {user}
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/front.conf;
}}
"""
LIES = {
    "tollgate-app": "app_of_somebody",
    "tollgate-user": "root",
    "x-original-uri": "/llm",
    "x-original-method": "POST",
    "x-forwarded-uri": "/llm",
    "x-forwarded-method": "POST",
}
"""What a client may send about itself."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def echo(request: Request) -> JSONResponse:
    """Respond with what the guarded service gets to see."""
    body = await request.body()
    return JSONResponse({"headers": dict(request.headers), "body": body.decode(), "path": request.url.path})


def command(front: str, folder: Path, places: dict[str, str]) -> list[str]:
    """Write the shipped configuration with the test's addresses; return the command that runs it."""
    name = {"nginx": "nginx.conf", "caddy": "Caddyfile"}[front]
    text = (FRONTS / name).read_text()
    for shipped, actual in places.items():
        assert shipped in text
        text = text.replace(shipped, actual)
    if front == "caddy":
        (folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
        return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    (folder / "front.conf").write_text(text)
    user = "user root;" if os.getuid() == 0 else ""
    (folder / "main.conf").write_text(NGINX.format(folder=folder, user=user))
    return ["nginx", "-p", str(folder), "-c", str(folder / "main.conf"), "-e", "stderr"]


@contextlib.asynccontextmanager
async def guarded(front: str, folder: Path, tollgate: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run the proxy before a service; yield a client of it."""
    binary = shutil.which(front)
    if binary is None:
        pytest.skip(f"{front} is not installed")
    async with served(Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])])) as service:
        port = free_port()
        places = {
            "127.0.0.1:8000": f"127.0.0.1:{port}",
            "127.0.0.1:8080": tollgate.removeprefix("http://"),
            "127.0.0.1:9000": service.removeprefix("http://"),
        }
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command(front, folder, places),
                stdout=log,
                stderr=log,
                env={"HOME": str(folder), "XDG_DATA_HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            )
        try:
            origin = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=origin, trust_env=False, timeout=30) as client:

                async def up() -> bool:
                    assert process.returncode is None, (folder / "log").read_text()
                    with contextlib.suppress(httpx.HTTPError):
                        return (await client.get("/")).status_code == 401
                    return False

                await eventually(up)
                yield client
        finally:
            process.terminate()
            await process.wait()


async def key_of(running: Deployment, app: BuilderApp, **narrowed: Any) -> tuple[str, str]:
    async with running.store() as store:
        record, text = await ApiKeys(store.redis, pepper_of(running.settings.auth)).create(app.client_id, **narrowed)
    return record.key_id, text


@pytest.mark.parametrize("front", ["nginx", "caddy"])
async def test_a_front_lets_in_whom_tollgate_lets_in(
    running: Deployment, app: BuilderApp, tmp_path: Path, front: str
) -> None:
    key_id, key = await key_of(running, app)
    async with guarded(front, tmp_path, running.public) as client:
        allowed = await client.post("/some/path", content=b"body", headers=bearer(key) | LIES)
        assert allowed.status_code == 200, allowed.text
        seen = allowed.json()
        assert (seen["body"], seen["path"]) == ("body", "/some/path")
        assert seen["headers"]["tollgate-app"] == app.client_id
        assert seen["headers"]["tollgate-key"] == key_id
        assert seen["headers"].get("tollgate-user", "") == ""  # the client's own word is gone
        assert seen["headers"]["tollgate-tier"] == "premium"
        assert key not in allowed.text

        missing = await client.get("/")
        assert missing.status_code == 401
        assert missing.headers["www-authenticate"].startswith("Bearer")
        assert (await client.get("/", headers=bearer("tgk_no"))).status_code == 401

        _, narrowed = await key_of(running, app, workloads=[Workload.TEXT_TO_IMAGE])
        assert (await client.post("/llm", headers=bearer(narrowed))).status_code == 403
        assert (await client.post("/text-to-image", headers=bearer(narrowed))).status_code == 200
        assert (await client.post("/text-to-image", headers=bearer(narrowed) | LIES)).status_code in (200, 403)
        assert (await client.post("/llm", headers=bearer(narrowed) | LIES)).status_code == 403
        lie = {"x-original-uri": "/text-to-image", "x-forwarded-uri": "/text-to-image"}
        assert (await client.post("/llm", headers=bearer(narrowed) | lie)).status_code == 403

        free = await builder_app(running, app.http, plan="free")
        _, limited = await key_of(running, free)
        statuses = [(await client.get("/", headers=bearer(limited))).status_code for _ in range(10)]
        assert statuses == [200] * 10
        refused = await client.get("/", headers=bearer(limited))
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0


@pytest.mark.parametrize("front", ["nginx", "caddy"])
async def test_no_front_remembers_a_key_past_its_revocation(
    running: Deployment, app: BuilderApp, tmp_path: Path, front: str
) -> None:
    key_id, key = await key_of(running, app)
    async with guarded(front, tmp_path, running.public) as client:
        assert (await client.get("/", headers=bearer(key))).status_code == 200
        async with running.store() as store:
            await ApiKeys(store.redis, None).revoke(key_id)

        async def refused() -> bool:
            return {(await client.get("/", headers=bearer(key))).status_code for _ in range(4)} == {401}

        async with asyncio.timeout(20):  # the notice of the change; any cache would last longer
            await eventually(refused)


@pytest.mark.parametrize("front", ["nginx", "caddy"])
async def test_a_front_without_tollgate_lets_nobody_in(tmp_path: Path, front: str) -> None:
    async with (
        served(Starlette(routes=[Route("/{path:path}", refusing)])) as tollgate,
        guarded(front, tmp_path, tollgate) as client,
    ):
        for status in (500, 502, 503):
            response = await client.get("/", headers={"x-status": str(status)})
            assert response.status_code in (status, 503)
            assert "headers" not in response.text


async def refusing(request: Request) -> JSONResponse:
    """Respond to a question with the status that its client chose, 401 if it chose none."""
    return JSONResponse({}, int(request.headers.get("x-status", "401")), {"www-authenticate": "Bearer"})


async def test_traefiks_configuration_asks_tollgate_and_passes_its_words_on() -> None:
    http = yaml.safe_load((FRONTS / "traefik.yaml").read_text())["http"]
    asked = http["middlewares"]["tollgate"]["forwardAuth"]
    assert asked["address"].endswith("/api/v1/verify?count=1")
    assert asked["trustForwardHeader"] is False
    names = {"Tollgate-App", "Tollgate-User", "Tollgate-Key", "Tollgate-Plan", "Tollgate-Tier"}
    assert set(asked["authResponseHeaders"]) == names
    assert http["routers"]["service"]["middlewares"] == ["own-words", "tollgate", "credentials"]
