"""The page that shows the schema: everything on it comes from this server, and no other is asked for anything."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from proxy.api.documentation.page import DOCS_PATH
from tests.support.deployment import Deployment

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LINKS = re.compile(r'(?:href|src)="([^"#]+)"')


async def test_the_page_names_only_files_of_its_own_origin(http: httpx.AsyncClient, running: Deployment) -> None:
    """Hazard: a page that loads scripts from elsewhere, which then act with the rights of whoever reads it."""
    page = await http.get(DOCS_PATH)
    assert page.status_code == 200
    links = LINKS.findall(page.text)
    assert len(links) >= 3
    for link in links:
        target = urljoin(f"{running.public}{DOCS_PATH}", link)
        assert target.startswith(f"{running.public}/api/v1/"), "relative, so that it works behind any origin"
        assert (await http.get(target)).status_code == 200
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page.text), "nothing inline"
    for path in (DOCS_PATH, f"{DOCS_PATH}/page.js", f"{DOCS_PATH}/page.css"):
        response = await http.get(path)
        assert not re.search(r"https?:|//[a-z]|\beval\b|innerHTML|import\(|@import|url\(", _code(response.text)), path
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"


def _code(text: str) -> str:
    """Return a script without its comments."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("//"))


async def test_pages_of_the_framework_are_off(http: httpx.AsyncClient) -> None:
    for path in ("/docs", "/redoc", "/openapi.json", "/api/v1/redoc", "/api/v1/docs/oauth2-redirect", "/api/v1/docs/"):
        assert (await http.get(path)).status_code == 404, path


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
async def test_a_browser_shows_every_route_and_asks_no_other_server(
    http: httpx.AsyncClient, running: Deployment, tmp_path: Path
) -> None:
    schema = (await http.get("/api/v1/openapi.json")).json()
    log = tmp_path / "net.json"
    process = await asyncio.create_subprocess_exec(
        str(CHROMIUM),
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions"),
        *("--disable-background-networking", "--disable-component-update", "--no-first-run", "--no-proxy-server"),
        *("--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom", f"--log-net-log={log}"),
        f"--user-data-dir={tmp_path / 'profile'}",
        f"{running.public}{DOCS_PATH}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    page = out.decode()
    assert 'aria-busy="false"' in page, err.decode()[-2_000:]
    for path, methods in schema["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}<" in page
    assert "ProblemDocument" not in page.split("<nav")[0]
    console = [line for line in err.decode().splitlines() if "CONSOLE" in line]
    assert console == [], "neither an error nor a breach of the policy"
    requested = _requested(log, running.public)
    assert {urlsplit(url).path for url in requested} >= {DOCS_PATH, f"{DOCS_PATH}/page.js", "/api/v1/openapi.json"}
    assert {url for url in requested if not url.startswith(f"{running.public}/")} == set()


def _requested(log: Path, origin: str) -> set[str]:
    """Return every URL that the page requested, and those that the browser did for it."""
    document = json.loads(log.read_text())
    start = document["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    found = [event.get("params", {}) for event in document["events"] if event["type"] == start]
    return {
        each["url"]
        for each in found
        if "url" in each and (each.get("initiator") == origin or each["url"].startswith(origin))
    }
