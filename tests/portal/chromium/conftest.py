"""Chromium at the deployment of the other tests of the portal, and apps that are hard to show."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser as Chromium

from tests.portal.chromium.hostile import Hostile, hostile_app
from tests.portal.chromium.tab import PROGRAM, chromium_started
from tests.support.deployment import Deployment


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def chromium() -> AsyncIterator[Chromium]:
    """Start one browser for all tests here; each has tabs of its own."""
    if PROGRAM is None:
        pytest.skip("Chromium is not installed")
    async with chromium_started() as browser:
        yield browser


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def hostile(running: Deployment) -> AsyncIterator[Hostile]:
    """Make an app of long names and large amounts."""
    async with hostile_app(running) as found:
        yield found
