"""Hazards: the key set of an app's issuer fetched for every token, from where no tenant may reach, or for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network

import pytest

from middlewares.auth.compact import TokenRefused
from middlewares.auth.jwt import IssuerUnavailable, SigningKeyUnknown
from middlewares.auth.records import AppIssuer
from proxy.identity.app_issuers import AppIssuers
from proxy.identity.key_set_fetcher import HttpFetch
from tests.auth.issuer import AUDIENCE, KeySetServer, claims, jwk, key_set, rsa_key, token
from tests.store.servers import eventually

LOOPBACK = (ip_network("127.0.0.0/8"),)
ROTATED = key_set(jwk(rsa_key("second"), kid="k2"))


@pytest.fixture
async def server() -> AsyncIterator[KeySetServer]:
    async with KeySetServer(key_set(jwk(rsa_key(), kid="k1"))) as running:
        running.discoverable()
        yield running


@pytest.fixture
async def issuers() -> AsyncIterator[AppIssuers]:
    async with HttpFetch(LOOPBACK) as fetch:
        running = AppIssuers(fetch, refresh_seconds=600, cool_down_seconds=0.3)
        yield running
        await running.stop()


def registered(server: KeySetServer) -> AppIssuer:
    return AppIssuer(server.origin, AUDIENCE)


def foreign(server: KeySetServer, subject: str = "ann", **header: object) -> bytes:
    return token(claims(iss=server.origin, sub=subject), **header)  # type: ignore[arg-type]


async def test_a_user_is_named_by_the_subject(server: KeySetServer, issuers: AppIssuers) -> None:
    found = await issuers.verify(registered(server), foreign(server, "ann@acme"))
    assert (found.external_id, found.token_id) == ("ann@acme", None)
    assert abs(found.expires_at - time.time() - 86_400) < 60


@pytest.mark.parametrize("subject", ["", "a\nb", "a\x00", "x" * 256, "\u202eann"])
async def test_a_subject_that_is_no_external_id_is_refused(
    server: KeySetServer, issuers: AppIssuers, subject: str
) -> None:
    with pytest.raises(TokenRefused):
        await issuers.verify(registered(server), foreign(server, subject))


async def test_a_thousand_first_tokens_at_once_cause_one_fetch(
    server: KeySetServer, issuers: AppIssuers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.identity.app_issuers._FIRST_SECONDS", 60)  # a busy machine may take its time
    sent = foreign(server)
    await asyncio.gather(*(issuers.verify(registered(server), sent) for _ in range(1_000)))
    assert server.fetches == 1


async def test_apps_with_the_same_issuer_share_its_keys_and_not_their_audiences(
    server: KeySetServer, issuers: AppIssuers
) -> None:
    await issuers.verify(registered(server), foreign(server))
    with pytest.raises(TokenRefused):
        await issuers.verify(replace(registered(server), audience="another"), foreign(server))
    assert server.fetches == 1


@pytest.mark.ci
async def test_a_rotated_key_is_noticed_and_bad_ones_cause_one_fetch_in_a_cool_down(
    server: KeySetServer, issuers: AppIssuers
) -> None:
    await issuers.verify(registered(server), foreign(server))
    server.document = ROTATED
    new, bad = foreign(server, key=rsa_key("second"), kid="k2"), foreign(server, kid="bad")
    begun = time.monotonic()
    noticed = 0.0
    sent = 0
    while server.fetches < 4:
        for _ in range(10):
            with pytest.raises(SigningKeyUnknown):
                await issuers.verify(registered(server), bad)
        sent += 10
        if not noticed:
            try:
                await issuers.verify(registered(server), new)
                noticed = time.monotonic() - begun
            except SigningKeyUnknown:
                pass
        await asyncio.sleep(0.01)
    assert 0 < noticed < 0.3 + 0.5
    assert sent >= 200
    assert min(server.gaps()) >= 0.29


async def test_a_frozen_server_delays_no_known_key(server: KeySetServer, issuers: AppIssuers) -> None:
    await issuers.verify(registered(server), foreign(server))
    server.freeze()
    with pytest.raises(SigningKeyUnknown):
        await issuers.verify(registered(server), foreign(server, kid="bad"))
    await eventually(lambda: server.fetches == 2)
    begun = time.monotonic()
    await issuers.verify(registered(server), foreign(server))
    assert time.monotonic() - begun < 0.25


@pytest.mark.ci
async def test_a_server_that_never_responded_is_waited_for_once(
    server: KeySetServer, issuers: AppIssuers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: each token of an issuer that is down costs its request seconds."""
    monkeypatch.setattr("proxy.identity.app_issuers._FIRST_SECONDS", 0.2)
    monkeypatch.setattr("proxy.identity.key_set_fetcher._SECONDS", 0.4)
    server.freeze()
    begun = time.monotonic()
    with pytest.raises(IssuerUnavailable):
        await issuers.verify(registered(server), foreign(server))
    assert time.monotonic() - begun < 2
    await eventually(lambda: len(server.fetched) >= 2)  # it was given up, and tried again
    begun = time.monotonic()
    with pytest.raises(IssuerUnavailable):
        await issuers.verify(registered(server), foreign(server))
    assert time.monotonic() - begun < 0.1
    server.thaw()

    async def recovered() -> bool:
        try:
            await issuers.verify(registered(server), foreign(server))
        except IssuerUnavailable:
            return False
        return True

    await eventually(recovered)


async def test_a_private_address_is_not_connected_to(server: KeySetServer) -> None:
    async with HttpFetch() as fetch:
        issuers = AppIssuers(fetch)
        for each in (registered(server), replace(registered(server), jwks_url=server.url)):
            with pytest.raises(IssuerUnavailable):
                await issuers.verify(each, foreign(server))
        await issuers.stop()
    assert server.fetched == []


async def test_an_issuer_that_nobody_uses_is_fetched_no_more(server: KeySetServer) -> None:
    async with HttpFetch(LOOPBACK) as fetch:
        issuers = AppIssuers(fetch, refresh_seconds=0.1)
        await issuers.verify(registered(server), foreign(server))
        await eventually(lambda: not issuers._entries)
        fetches = server.fetches
        assert fetches <= 2
        await issuers.verify(registered(server), foreign(server))
        assert server.fetches == fetches + 1
        await issuers.stop()
