"""Hazards of discovery: a document that lies about its issuer, leads into a private network, is huge, or never ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.issuers import Issuer
from middlewares.auth.compact import TokenRefused
from middlewares.auth.discovery import DiscoveringLoader, key_set_url
from middlewares.auth.jwks import KeySets
from middlewares.auth.jwt import IssuerUnavailable, TokenVerifier
from middlewares.auth.ports import FetchError
from proxy.identity.key_set_fetcher import HttpFetch
from tests.auth.issuer import AUDIENCE, KeySetServer, claims, jwk, key_set, rsa_key, token
from tests.store.servers import eventually

FIRST = key_set(jwk(rsa_key(), kid="k1"))
ROTATED = key_set(jwk(rsa_key("second"), kid="k2"))


@pytest.fixture
async def server() -> AsyncIterator[KeySetServer]:
    async with KeySetServer(FIRST) as running:
        running.discoverable()
        yield running


@asynccontextmanager
async def verifying(server: KeySetServer, **settings: Any) -> AsyncIterator[TokenVerifier]:
    """Yield a verifier that knows nothing of the issuer but its name."""
    values = {"issuer": server.origin, "audience": AUDIENCE, "app": "app_1", **settings}
    issuers = [Issuer.model_validate(values)]
    async with HttpFetch() as fetch:
        sets = KeySets(issuers, fetch)
        await sets.start()
        try:
            yield TokenVerifier(issuers, sets)
        finally:
            await sets.stop()


def accepted(verifier: TokenVerifier, server: KeySetServer, **header: Any) -> bool:
    try:
        return verifier.verify(token(claims(iss=server.origin), **header)).user == "ann"
    except TokenRefused:
        return False


async def test_the_issuer_alone_is_enough(server: KeySetServer) -> None:
    async with verifying(server) as verifier:
        assert accepted(verifier, server)
    assert [path for path, _ in server.fetched] == ["/.well-known/openid-configuration", "/jwks.json"]


async def test_the_document_is_read_once_and_again_when_the_keys_have_moved(server: KeySetServer) -> None:
    async with verifying(server, refresh_seconds=0.05) as verifier:
        await eventually(lambda: server.fetches >= 3)
        assert sum(path != "/jwks.json" for path, _ in server.fetched) == 1
        server.others["/moved.json"] = ROTATED
        server.discoverable(jwks_uri=f"{server.origin}/moved.json")
        server.status = "404 Not Found"
        await eventually(lambda: server.fetched[-1][0] == "/.well-known/openid-configuration")
        server.status = "200 OK"
        await eventually(lambda: accepted(verifier, server, key=rsa_key("second"), kid="k2"))


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.example"},
        {"issuer": "SELF/"},
        {"issuer": ["SELF"]},
        {"issuer": None},
        {"jwks_uri": None},
        {"jwks_uri": ["SELF/jwks.json"]},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "http://keys.example/jwks.json"},
        {"jwks_uri": "http://localhost:x@keys.example/jwks.json"},
        {"jwks_uri": "https://user@keys.example/jwks.json"},
        {"jwks_uri": "/jwks.json"},
    ],
)
async def test_a_document_that_lies_or_leads_astray_gives_no_keys(
    server: KeySetServer, changes: dict[str, Any]
) -> None:
    text = json.dumps(changes).replace("SELF", server.origin)
    server.discoverable(**json.loads(text))
    with capture_logs() as logs:
        async with verifying(server) as verifier:
            with pytest.raises(IssuerUnavailable):
                verifier.verify(token(claims(iss=server.origin)))
    assert server.fetches == 0
    assert [entry["event"] for entry in logs] == ["jwks_unavailable"]


@pytest.mark.parametrize("document", [b"", b"[]", b"null", b'"x"', b"{", b"[" * 100_000])
def test_a_document_that_is_none_is_an_error(document: bytes) -> None:
    with pytest.raises(ValueError, match="discovery document"):
        key_set_url(document, "https://idp.example")


def test_a_document_may_not_lead_from_https_to_http() -> None:
    document = json.dumps({"issuer": "https://idp.example", "jwks_uri": "http://127.0.0.1:9090/metrics"}).encode()
    with pytest.raises(ValueError, match="to http"):
        key_set_url(document, "https://idp.example")


async def test_keys_on_a_private_address_of_another_host_are_not_fetched(server: KeySetServer) -> None:
    async with KeySetServer(FIRST) as inner:
        server.discoverable(jwks_uri=inner.url)
        async with verifying(server) as verifier:
            assert not accepted(verifier, server)
        assert inner.fetched == []


async def test_a_redirect_is_not_followed(server: KeySetServer) -> None:
    async with KeySetServer(FIRST) as inner:
        server.status, server.location = "302 Found", f"{inner.origin}/.well-known/openid-configuration"
        inner.discoverable(issuer=server.origin)
        async with verifying(server) as verifier:
            assert not accepted(verifier, server)
        assert inner.fetched == []


async def test_one_hundred_megabytes_are_not_read(server: KeySetServer) -> None:
    sent = 0
    done = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        try:
            for _ in range(100):
                writer.write(b" " * 1_000_000)
                await writer.drain()
                sent += 1
        except ConnectionError:
            pass
        finally:
            done.set()
            writer.close()

    async with await asyncio.start_server(flood, "127.0.0.1", 0) as big, HttpFetch() as fetch:
        port = big.sockets[0].getsockname()[1]
        loader = DiscoveringLoader(f"http://127.0.0.1:{port}", fetch)
        with pytest.raises(FetchError, match="more than 1048576 bytes"):
            await loader()
        await done.wait()
    assert sent < 20


async def test_a_document_by_the_byte_is_given_up(server: KeySetServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazard: each byte arrives within a timeout that starts again with every byte."""
    monkeypatch.setattr("proxy.identity.key_set_fetcher._SECONDS", 0.3)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as slow, HttpFetch() as fetch:
        port = slow.sockets[0].getsockname()[1]
        begun = time.monotonic()
        with pytest.raises(FetchError, match="no complete response"):
            await DiscoveringLoader(f"http://127.0.0.1:{port}", fetch)()
        assert time.monotonic() - begun < 2


@pytest.mark.ci
async def test_a_frozen_server_delays_no_known_key(server: KeySetServer) -> None:
    """Hazard: a token waits for the fetch that another token caused."""
    async with verifying(server, refresh_seconds=0.05) as verifier:
        server.freeze()
        before = server.fetches
        await eventually(lambda: server.fetches > before)
        slowest = 0.0
        for number in range(200):
            begun = time.perf_counter()
            assert accepted(verifier, server)
            assert not accepted(verifier, server, kid=f"bad{number}")
            slowest = max(slowest, time.perf_counter() - begun)
            await asyncio.sleep(0)
        assert server.fetches == before + 1
        assert slowest < 0.25
