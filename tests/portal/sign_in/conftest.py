"""One deployment of two workers in which people sign in to the portal in every way there is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.portal.browser import OPEN
from tests.portal.conftest import CONFIG, Tenant, tenant
from tests.sign_in.conftest import SIGN_IN
from tests.sign_in.operator import Operator
from tests.support.deployment import Deployment, deployed
from tests.support.identity_provider import IdentityProvider, identity_provider


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def provider() -> AsyncIterator[IdentityProvider]:
    """Run a provider of identities."""
    async with identity_provider() as found:
        yield found


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def running(tmp_path_factory: pytest.TempPathFactory, provider: IdentityProvider) -> AsyncIterator[Deployment]:
    """Run two workers, with sign-up closed."""
    config = {**CONFIG, "sign_in": SIGN_IN, "portal": {**CONFIG["portal"], "oidc": provider.settings}}
    config["log"] = {"level": "debug"}
    async with deployed(tmp_path_factory.mktemp("portal-sign-in"), config) as deployment:
        yield deployment
        while OPEN:
            await OPEN.pop().http.aclose()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def used(running: Deployment) -> Tenant:
    """Return a tenant that has used nothing."""
    return await tenant(running, "Picture House")


@pytest.fixture
def operator(running: Deployment) -> Operator:
    """Return the operator of the deployment."""
    return Operator(running)
