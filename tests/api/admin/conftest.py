"""One deployment for the tests of the admin API, its operators, and an app that they look after."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from middlewares.auth.keys import pepper_of
from middlewares.auth.records import Role
from proxy.control.operators.operators import Operators
from tests.support.builder import BuilderApp, bearer, builder_app
from tests.support.deployment import Deployment, deployed

ADMIN = "/api/v1/admin"
CONFIG = {
    "control": {"requests_per_minute": 100_000, "token_requests_per_minute": 100_000, "admin_on_public_listener": True},
    "auth": {"failures_per_minute": 100_000, "key_pepper": "a pepper for keys of tests"},
    "sign_up": {"policy": "invite"},
}


@dataclass(frozen=True)
class Operated:
    """A deployment with an operator of each role, and a client of its private listener."""

    deployment: Deployment
    http: httpx.AsyncClient
    keys: Mapping[Role, str]

    def headers(self, role: Role = Role.ADMIN) -> dict[str, str]:
        """Return the header of the operator of this role."""
        return bearer(self.keys[role])


async def operator_key(deployment: Deployment, role: Role) -> str:
    """Create an operator; return its key."""
    async with deployment.store() as store:
        _, key = await Operators(store.redis, pepper_of(deployment.settings.auth)).create(f"a {role}", role)
    return key


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def operated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operated]:
    """Run one worker, with the admin API on both listeners."""
    async with deployed(tmp_path_factory.mktemp("admin"), CONFIG) as deployment:
        keys = {role: await operator_key(deployment, role) for role in Role}
        async with httpx.AsyncClient(base_url=deployment.private, timeout=60, trust_env=False) as http:
            yield Operated(deployment, http, keys)


@pytest_asyncio.fixture(loop_scope="package")
async def app(operated: Operated) -> AsyncIterator[BuilderApp]:
    """Create an app, with a client of the public listener."""
    async with httpx.AsyncClient(base_url=operated.deployment.public, timeout=60, trust_env=False) as http:
        yield await builder_app(operated.deployment, http)
