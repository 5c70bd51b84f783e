"""What the page has to paste runs as it stands, with the clients that it names."""

from __future__ import annotations

import asyncio
import html
import os
import re
import shutil
import sys
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from config.workloads import Workload
from middlewares.auth.records import KeyRecord
from proxy.portal.tenant.try_it import PLACEHOLDER, example_model
from tests.portal.browser import Browser, text_of
from tests.portal.conftest import Tenant, tenant
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")

WAYS = {
    "curl": ["bash", "-c"],
    "python": [sys.executable, "-c"],
    "typescript": ["node", "--input-type=module", "--eval"],
    "openai": [sys.executable, "-c"],
}


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def mine(running: Deployment) -> Tenant:
    """Return a tenant of its own, for what is used here is charged."""
    return await tenant(running, "Trying")


async def examples(browser: Browser, mine: Tenant, **query: str) -> dict[str, str]:
    """Return the examples of the page."""
    page = (await browser.page(f"{mine.path}/try", **query)).text
    return {
        name: html.unescape(text) for name, text in re.findall(r'class="example" id="(\w+)">(.*?)</code>', page, re.S)
    }


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
async def test_an_example_runs_as_it_stands(running: Deployment, mine: Tenant, way: str) -> None:
    if shutil.which(WAYS[way][0]) is None:
        pytest.skip(f"{WAYS[way][0]} is not installed")
    found = await examples(await mine.member("developer"), mine)
    assert found.keys() == WAYS.keys()
    environment = {**os.environ, "TOLLGATE_KEY": mine.key, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    process = await asyncio.create_subprocess_exec(
        *WAYS[way], found[way], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment
    )
    out, error = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, error.decode()
    assert ("/stream/" in out.decode()) is (way != "openai"), out.decode()
    assert out.strip()


async def test_the_examples_of_a_key_stay_within_what_it_may_do(running: Deployment, mine: Tenant) -> None:
    browser = await mine.member("developer")
    code, out, error = await running.cli(
        *("keys", "create", "--app", mine.app, "--name", "Narrow <b>", "--model", 'it\'s "1" <model>'),
        *("--workload", "text-to-image", "--requests-per-minute", "7", "--json"),
    )
    assert code == 0, error
    key = re.findall(r"[a-z2-7]{16}", out.partition("key_id")[2])[0]
    found = await examples(browser, mine, key=key)
    assert found.keys() == {"curl", "python", "typescript"}
    for text in found.values():
        assert 'it\\u0027s \\"1\\" \\u003cmodel\\u003e' in text, "quoted for every language, and for the shell"
    text = text_of(await browser.page(f"{mine.path}/try", key=key))
    assert "Most requests in a minute 7 Only for Text to image" in text
    assert (await browser.get(f"{mine.path}/try", key="a" * 16)).status_code == 404


async def test_a_key_of_web_pages_is_shown_no_example_for_programs(mine: Tenant) -> None:
    """Hazard: a key that works in some pages only is called unlimited, and every example is refused."""
    browser = await mine.member("owner")
    made = await browser.post(f"{mine.path}/keys", name="Web", origins="https://a.example")
    key = re.findall(r"tgk_([a-z2-7]{16})", made.text)[0]
    assert await examples(browser, mine, key=key) == {}
    text = text_of(await browser.page(f"{mine.path}/try", key=key))
    assert "Web pages https://a.example This key works from these web pages only" in text
    assert "Limits of its own" not in text


async def test_what_a_key_is_narrowed_to_is_shown(running: Deployment, mine: Tenant) -> None:
    """Hazard: a key that works in one network, or for one stream, is called unlimited."""
    code, out, error = await running.cli(
        *("keys", "create", "--app", mine.app, "--cidr", "10.0.0.0/8", "--stream", "cam", "--json")
    )
    assert code == 0, error
    key = re.findall(r"[a-z2-7]{16}", out.partition("key_id")[2])[0]
    text = text_of(await (await mine.member("viewer")).page(f"{mine.path}/try", key=key))
    assert "Networks 10.0.0.0/8 Streams cam" in text
    assert "Limits of its own" not in text


async def test_no_example_names_a_model_that_does_no_such_work() -> None:
    """Hazard: a chat with a model of images, because the key may use no other."""
    key = KeyRecord("", "", "", "", datetime.now(UTC), models=frozenset({"flux", "sdxl"}))
    assert example_model(Workload.LLM, frozenset({"llama"}), key) is None
    assert example_model(Workload.LLM, frozenset({"llama", "sdxl"}), key) == "sdxl"
    assert example_model(Workload.LLM, frozenset(), key) == "flux", "any may be offered"
    assert example_model(Workload.LLM, frozenset({"llama"}), None) == "llama"
    assert example_model(Workload.LLM, frozenset(), None) == PLACEHOLDER
