"""One gate for all tests that leave it as they found it; those that hurt it start their own."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.auth.issuer import AUDIENCE, ISSUER, jwk, key_set, rsa_key
from tests.support.deployment import Customer, Deployment, deployed


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def gate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """A gate with two workers and nothing configured but the gateway."""
    async with deployed(tmp_path_factory.mktemp("gate"), {"workers": 2}) as deployment:
        yield deployment


def limited(scope: str, **limits: int) -> dict[str, Any]:
    """A plan with limits in one scope."""
    return {"tier": "standard", "limits": {scope: limits}}


SCOPES = ("key", "user", "app", "global")
PEPPER = "pepper-that-nobody-may-see"
CROWDED = {
    "workers": 4,
    "plans": {
        **{f"ten-per-{scope}": limited(scope, requests_per_minute=10) for scope in SCOPES},
        **{f"five-at-once-per-{scope}": limited(scope, concurrent=5) for scope in SCOPES},
    },
}
IDENTITY_PROVIDER = {"issuer": ISSUER, "audience": AUDIENCE, "app_claim": "app", "plan_claim": "plan"}


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def crowd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """A gate with four workers, and for each scope a plan `ten-per-<scope>` and one `five-at-once-per-<scope>`.

    Tokens of `tests.auth.issuer` are good here; their claims name the app and may name the plan.
    """
    folder = tmp_path_factory.mktemp("crowd")
    (folder / "keys.json").write_bytes(key_set(jwk(rsa_key(), kid="k1")))
    issuer = {**IDENTITY_PROVIDER, "jwks_file": str(folder / "keys.json")}
    auth = {"key_pepper": PEPPER, "issuers": [issuer]}
    async with deployed(folder, {**CROWDED, "auth": auth}) as deployment:
        yield deployment


@pytest_asyncio.fixture(loop_scope="package")
async def client(gate: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that gate, without credentials."""
    async with httpx.AsyncClient(base_url=gate.public, timeout=30, trust_env=False, verify=False) as http:
        yield http


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def somebody(gate: Deployment) -> Customer:
    """A customer of that gate without limits, for tests that count nothing."""
    return await gate.customer()
