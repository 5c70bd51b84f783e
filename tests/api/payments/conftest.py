"""One deployment in dollars that sells credits by Stripe, and a server that stands for Stripe's API."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.builder import BuilderApp, builder_app
from tests.support.deployment import Deployment, deployed
from tests.support.served import served
from tests.support.stripe_events import SECRET

WATCHER = "whsec_" + base64.b64encode(b"a secret of the chain watcher").decode()
STRIPE_KEY = "sk_test_of_the_tests"


@dataclass
class FakeStripe:
    """What was asked of the API that stands for Stripe's."""

    requests: list[tuple[dict[str, str], dict[str, str]]] = field(default_factory=list)
    """Headers and form of each."""
    fails: bool = False

    async def create(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        self.requests.append((dict(request.headers), form))
        if self.fails:
            error = {"type": "invalid_request_error", "code": "parameter_invalid", "message": "No such price"}
            return JSONResponse({"error": error}, 400)
        name = f"cs_test_{len(self.requests)}"
        url = f"https://checkout.stripe.com/c/pay/{name}"
        return JSONResponse({"id": name, "object": "checkout.session", "url": url, "expires_at": 1_893_456_000})

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/checkout/sessions", self.create, methods=["POST"])])


@dataclass(frozen=True)
class Shop:
    """The deployment, and what it sells by."""

    deployment: Deployment
    stripe: FakeStripe


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    folder: Path = tmp_path_factory.mktemp("payments")
    stripe = FakeStripe()
    (folder / "secret").write_text(WATCHER)
    async with served(stripe.app) as url:
        config = {
            "currency": {"code": "USD", "decimals": 6},
            "control": {"requests_per_minute": 100_000},
            "plans": {
                "prepaid": {"currency": "USD", "billing": "credits", "prices": [{"unit": "requests", "amount": 1_000}]}
            },
            "payments": {
                "stripe": {
                    "secret_key": STRIPE_KEY,
                    "webhook_secret": SECRET,
                    "api_url": url,
                    "subscriptions": {"pro": "price_pro"},
                    "return_url": "https://shop.example",
                },
                "providers": {"usdc": {"secret_file": str(folder / "secret")}},
                "rates": {"USDC": 1},
            },
        }
        async with deployed(folder, config) as deployment:
            yield Shop(deployment, stripe)


@pytest_asyncio.fixture(loop_scope="package")
async def http(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    """Open an HTTP client without credentials."""
    async with httpx.AsyncClient(base_url=shop.deployment.public, timeout=30, trust_env=False, verify=False) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="package")
async def app(shop: Shop, http: httpx.AsyncClient) -> BuilderApp:
    """Create an app without users."""
    return await builder_app(shop.deployment, http)
