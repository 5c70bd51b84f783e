"""One deployment for all tests that leave it as they found it; those that damage it start their own."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.auth.issuer import AUDIENCE, ISSUER, jwk, key_set, rsa_key
from tests.support.deployment import Customer, Deployment, deployed


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run two workers with nothing configured but the gateway."""
    async with deployed(tmp_path_factory.mktemp("deployment"), {"workers": 2}) as deployment:
        yield deployment


def limited(scope: str, **limits: int) -> dict[str, Any]:
    """Return a plan with limits in one scope."""
    return {"tier": "standard", "limits": {scope: limits}}


SCOPES = ("key", "user", "app", "global")
PRICE = 10**18
PEPPER = "pepper-that-nobody-may-see"
LIMITED = {
    "workers": 4,
    "edge": {"cors": {"key_origins": True}},
    "plans": {
        "priced": {"tier": "standard", "billing": "usage", "prices": [{"unit": "requests", "amount": PRICE}]},
        **{f"ten-per-{scope}": limited(scope, requests_per_minute=10) for scope in SCOPES},
        **{f"five-at-once-per-{scope}": limited(scope, concurrent=5) for scope in SCOPES},
    },
}
IDENTITY_PROVIDER = {
    "issuer": ISSUER,
    "audience": AUDIENCE,
    "app_claim": "app",
    "plan_claim": "plan",
    "plans": {"ten-per-user": "ten-per-user"},
}


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def limited_deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run four workers, with a plan for each scope, `ten-per-<scope>` and `five-at-once-per-<scope>`, and `priced`.

    Keys may be limited to web pages.

    Tokens of `tests.auth.issuer` are valid here; their claims name the app and may name the plan.
    """
    folder = tmp_path_factory.mktemp("limited")
    (folder / "keys.json").write_bytes(key_set(jwk(rsa_key(), kid="k1")))
    issuer = {**IDENTITY_PROVIDER, "jwks_file": str(folder / "keys.json")}
    auth = {"key_pepper": PEPPER, "issuers": [issuer]}
    async with deployed(folder, {**LIMITED, "auth": auth}) as deployment:
        yield deployment


@pytest_asyncio.fixture(loop_scope="package")
async def client(deployment: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    """Open an HTTP client of the shared deployment, without credentials."""
    async with httpx.AsyncClient(base_url=deployment.public, timeout=30, trust_env=False, verify=False) as http:
        yield http


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def customer(deployment: Deployment) -> Customer:
    """Create a customer of the shared deployment without limits, for tests that count nothing."""
    return await deployment.customer()
