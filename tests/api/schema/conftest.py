"""One deployment for what is made from the schemas of the builder API and the admin API."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.api.conftest import CONFIG, app, http
from tests.support.deployment import Deployment, deployed

__all__ = ["app", "http", "running"]


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run two workers whose limits no test reaches, where invitations count."""
    config = {**CONFIG, "sign_up": {"policy": "invite"}}
    async with deployed(tmp_path_factory.mktemp("schema"), config) as deployment:
        yield deployment
