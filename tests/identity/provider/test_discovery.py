"""What is believed of a provider's documents, and whom its requests may reach."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from middlewares.auth.ports import FetchError
from proxy.identity.key_set_fetcher import HttpFetch
from proxy.identity.provider.discovery import ProviderMetadata, ProviderUnavailable, metadata_of
from proxy.identity.provider.transport import ProviderTransport
from tests.support.identity_provider import identity_provider
from tests.support.served import served

ISSUER = "https://id.example/realm"
DOCUMENT: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize?x=1",
    "token_endpoint": "https://tokens.example/",
    "jwks_uri": f"{ISSUER}/keys",
}


def read(**changed: Any) -> dict[str, Any]:
    """Return what is known by a document."""
    return metadata_of(json.dumps({**DOCUMENT, **changed}).encode(), ISSUER)


def test_only_what_is_needed_is_taken_from_a_document() -> None:
    """Hazard: members that become options of the client: its transport, its proxy, whether it checks certificates."""
    known = read(transport=1, verify=False, proxy="http://evil.example", scope="all", client_secret="x")
    assert known.keys() == {
        *DOCUMENT,
        "id_token_signing_alg_values_supported",
        "token_endpoint_auth_method",
        "authorization_response_iss_parameter_supported",
    }


def test_no_signature_is_by_a_shared_secret() -> None:
    for listed, taken in (
        (["none", "HS256", "ES256", "RS256"], ["RS256", "ES256"]),
        (["HS256"], ["RS256"]),
        ("ES256", ["RS256"]),
        (None, ["RS256"]),
    ):
        assert read(id_token_signing_alg_values_supported=listed)["id_token_signing_alg_values_supported"] == taken


def test_the_secret_is_sent_as_the_provider_takes_it() -> None:
    for listed, taken in (
        (None, "client_secret_basic"),
        (["client_secret_post"], "client_secret_post"),
        (["client_secret_post", "client_secret_basic"], "client_secret_basic"),
    ):
        assert read(token_endpoint_auth_methods_supported=listed)["token_endpoint_auth_method"] == taken


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://id.example/realm/"},
        {"issuer": None},
        {"token_endpoint": None},
        {"token_endpoint": "http://tokens.example/"},
        {"token_endpoint": "http://127.0.0.1/"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://user@evil.example/"},
        {"jwks_uri": 7},
    ],
)
def test_a_document_that_cannot_be_used(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="its discovery document"):
        read(**changed)


async def test_other_hosts_must_be_public() -> None:
    """The address of the issuer stands in the configuration; what its document names does not."""
    async with HttpFetch() as fetch, served(Starlette()) as origin:
        async with httpx2.AsyncClient(transport=ProviderTransport(fetch, origin)) as client:
            assert (await client.post(f"{origin}/token", data={"code": "x"})).status_code == 404
        async with httpx2.AsyncClient(transport=ProviderTransport(fetch, "https://id.example")) as client:
            with pytest.raises(FetchError, match=r"not public.*auth\.key_set_networks"):
                await client.post(f"{origin}/token", data={"code": "x"})


async def test_a_document_is_read_once_and_again_after_a_while() -> None:
    async with HttpFetch() as fetch, identity_provider() as provider:
        now = [0.0]
        metadata = ProviderMetadata(provider.issuer, fetch, lambda: now[0])
        provider.down = True
        for _ in range(3):
            with pytest.raises(ProviderUnavailable, match="503"):
                await metadata.read()
        assert len(provider.asked) == 1, "whoever comes at the same time does not wait as well"
        provider.down, now[0] = False, 3.0
        found = await asyncio.gather(*(metadata.read() for _ in range(5)))
        assert len(provider.asked) == 2
        assert {id(each) for each in found} == {id(found[0])}
        provider.down, now[0] = True, 3_700.0
        assert await metadata.read() is found[0], "what was known stays"
        assert len(provider.asked) == 3
