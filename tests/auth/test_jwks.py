"""Key sets of issuers: loaded in the background, kept while the issuer is down, not fetched at a client's will."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.issuers import Issuer
from middlewares.auth.compact import TokenRefused
from middlewares.auth.jwks import KeySets, _FileLoader
from middlewares.auth.jwt import IssuerUnavailable, SigningKeyUnknown, TokenVerifier
from middlewares.auth.ports import FetchError
from proxy.identity.key_set_fetcher import HttpFetch
from tests.auth.issuer import AUDIENCE, ISSUER, KeySetServer, jwk, key_set, rsa_key, token
from tests.store.servers import eventually

FIRST = key_set(jwk(rsa_key(), kid="k1"))
ROTATED = key_set(jwk(rsa_key("second"), kid="k2"))
NEW_TOKEN = token(key=rsa_key("second"), kid="k2")


@pytest.fixture
async def server() -> AsyncIterator[KeySetServer]:
    async with KeySetServer(FIRST) as running:
        yield running


@pytest.fixture
async def fetch() -> AsyncIterator[HttpFetch]:
    async with HttpFetch() as running:
        yield running


@asynccontextmanager
async def verifying(fetch: HttpFetch, **settings: Any) -> AsyncIterator[TokenVerifier]:
    issuers = [Issuer.model_validate({"issuer": ISSUER, "audience": AUDIENCE, "app": "app_1", **settings})]
    sets = KeySets(issuers, fetch)
    await sets.start()
    try:
        yield TokenVerifier(issuers, sets)
    finally:
        await sets.stop()


def accepted(verifier: TokenVerifier, credential: bytes) -> bool:
    try:
        return verifier.verify(credential).user == "ann"
    except TokenRefused:
        return False


async def test_keys_are_there_once_started(server: KeySetServer, fetch: HttpFetch) -> None:
    async with verifying(fetch, jwks_url=server.url) as verifier:
        assert accepted(verifier, token())


async def test_a_rotated_key_is_honoured_without_waiting_for_the_interval(
    server: KeySetServer, fetch: HttpFetch
) -> None:
    async with verifying(fetch, jwks_url=server.url, refresh_seconds=3_600, cool_down_seconds=0.1) as verifier:
        server.document = ROTATED
        with pytest.raises(SigningKeyUnknown):
            verifier.verify(NEW_TOKEN)
        await eventually(lambda: accepted(verifier, NEW_TOKEN))
        assert not accepted(verifier, token()), "the old key is gone from the set"
        assert server.fetches == 2


async def test_a_rotated_key_is_honoured_within_one_cool_down(server: KeySetServer, fetch: HttpFetch) -> None:
    async with verifying(fetch, jwks_url=server.url, refresh_seconds=0.2) as verifier:
        assert not accepted(verifier, token(kid="bad"))  # starts the cool-down
        await eventually(lambda: server.fetches == 2)
        server.document = ROTATED
        await eventually(lambda: accepted(verifier, NEW_TOKEN))


@pytest.mark.ci
async def test_a_thousand_bad_key_ids_a_second_cause_one_fetch_in_a_cool_down(
    server: KeySetServer, fetch: HttpFetch
) -> None:
    """Hazard: the first bad id after a fetch causes another one at once, so that there are two in a cool-down."""
    bad = [token(kid=f"bad{number}") for number in range(10)]
    async with verifying(fetch, jwks_url=server.url, refresh_seconds=3_600, cool_down_seconds=0.3) as verifier:
        sent = 0
        while server.fetches < 4:
            for number in range(20):
                assert not accepted(verifier, bad[number % 10])
            sent += 20
            await asyncio.sleep(0.01)
    assert sent >= 300
    assert min(server.gaps()) >= 0.29


async def test_the_last_good_keys_outlive_their_issuer(server: KeySetServer, fetch: HttpFetch) -> None:
    async with verifying(fetch, jwks_url=server.url, refresh_seconds=0.05) as verifier:
        with capture_logs() as logs:
            await server.stop()
            await eventually(lambda: bool(logs))
            assert accepted(verifier, token())
            server.document = ROTATED
            await server.start()
            await eventually(lambda: accepted(verifier, NEW_TOKEN))
        assert [entry["event"] for entry in logs] == ["jwks_unavailable", "jwks_recovered"]


async def test_keys_end_when_their_issuer_is_away_for_too_long() -> None:
    """Hazard: a key that the issuer has withdrawn is good for ever, because nobody can see that it was."""
    now, away = 1_000.0, False

    async def fetch(url: str, *, trusted: bool = True) -> bytes:
        if away:
            raise FetchError(url)
        return FIRST

    named = {"issuer": ISSUER, "audience": AUDIENCE, "app": "app_1", "jwks_url": "https://keys.example"}
    issuers = [Issuer.model_validate({**named, "refresh_seconds": 300, "stale_seconds": 3_600})]
    sets = KeySets(issuers, fetch, clock=lambda: now)
    verifier, keys = TokenVerifier(issuers, sets), sets[issuers[0]]
    await keys.refresh()
    now += 3_000
    await keys.refresh()
    away, now = True, now + 300 + 3_600
    with capture_logs() as logs:
        await keys.refresh()
        assert accepted(verifier, token())
        now += 1
        with pytest.raises(IssuerUnavailable):
            verifier.verify(token())
        for _ in range(2):
            await keys.refresh()
        away = False
        await keys.refresh()
    assert accepted(verifier, token())
    events = [(each["event"], each["log_level"]) for each in logs]
    assert events == [("jwks_unavailable", "warning"), ("jwks_expired", "error"), ("jwks_recovered", "info")]


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"null", b'{"keys":{}}', b'{"keys":[]}', b'{"keys":[7]}'])
async def test_a_broken_key_set_replaces_no_good_one(server: KeySetServer, fetch: HttpFetch, document: bytes) -> None:
    async with verifying(fetch, jwks_url=server.url, refresh_seconds=0.05) as verifier:
        server.document = document
        before = server.fetches
        await eventually(lambda: server.fetches >= before + 2)
        assert accepted(verifier, token())


async def test_an_issuer_never_reached_is_503_and_then_recovers(server: KeySetServer, fetch: HttpFetch) -> None:
    await server.stop()
    async with verifying(fetch, jwks_url=server.url, refresh_seconds=0.05) as verifier:
        with pytest.raises(IssuerUnavailable):
            verifier.verify(token())
        await server.start()
        await eventually(lambda: accepted(verifier, token()))


async def test_a_changed_file_is_read_again(tmp_path: Path, fetch: HttpFetch) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(FIRST)
    async with verifying(fetch, jwks_file=file, refresh_seconds=0.05) as verifier:
        assert accepted(verifier, token())
        file.write_bytes(ROTATED)
        os.utime(file, ns=(0, file.stat().st_mtime_ns + 1_000_000))
        await eventually(lambda: accepted(verifier, NEW_TOKEN))
        with capture_logs() as logs:
            file.unlink()
            await eventually(lambda: bool(logs))
        assert accepted(verifier, NEW_TOKEN)


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "404 Not Found", "500 Oops"])
async def test_only_a_200_is_believed_and_redirects_are_not_followed(
    server: KeySetServer, fetch: HttpFetch, status: str
) -> None:
    server.status = status
    with pytest.raises(FetchError):
        await fetch(server.url)
    assert server.fetches == 1


async def test_a_document_over_one_mebibyte_is_not_read(server: KeySetServer, fetch: HttpFetch) -> None:
    server.document = b" " * (1024 * 1024 + 1)
    with pytest.raises(FetchError):
        await fetch(server.url)
    server.document = b" " * (1024 * 1024)
    assert len(await fetch(server.url)) == 1024 * 1024


async def test_a_server_that_never_answers_is_given_up(fetch: HttpFetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.identity.key_set_fetcher._SECONDS", 0.05)

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silence, "127.0.0.1", 0) as mute:
        port = mute.sockets[0].getsockname()[1]
        with pytest.raises(FetchError):
            await fetch(f"http://127.0.0.1:{port}/")


def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return what counts the looks at files from now on."""
    looks = 0
    look = _FileLoader._read

    def read(loader: _FileLoader) -> bytes | None:
        nonlocal looks
        looks += 1
        return look(loader)

    monkeypatch.setattr(_FileLoader, "_read", read)
    return lambda: looks


async def test_a_broken_file_is_not_taken_for_a_mended_one(
    tmp_path: Path, fetch: HttpFetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: the second look finds the file unchanged, and says that all is well."""
    file = tmp_path / "jwks.json"
    file.write_bytes(b"{")
    looks = counted(monkeypatch)
    with capture_logs() as logs:
        async with verifying(fetch, jwks_file=file, refresh_seconds=0.02) as verifier:
            await eventually(lambda: looks() > 5)
            assert [entry["event"] for entry in logs] == ["jwks_unavailable"]
            file.write_bytes(FIRST)
            os.utime(file, ns=(0, file.stat().st_mtime_ns + 1_000_000))
            await eventually(lambda: accepted(verifier, token()))
    assert [entry["event"] for entry in logs] == ["jwks_unavailable", "jwks_recovered"]


async def test_an_issuer_of_two_audiences_has_one_key_set(server: KeySetServer, fetch: HttpFetch) -> None:
    issuers = [Issuer(issuer=ISSUER, audience=name, jwks_url=server.url, app=f"app_{name}") for name in ("a", "b")]
    sets = KeySets(issuers, fetch)
    await sets.start()
    assert server.fetches == 1
    assert sets[issuers[0]] is sets[issuers[1]]
    await sets.stop()


async def test_a_frozen_server_does_not_keep_a_worker_from_starting(
    server: KeySetServer, fetch: HttpFetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("middlewares.auth.jwks._START_SECONDS", 0.1)
    server.freeze()
    begun = time.monotonic()
    async with verifying(fetch, jwks_url=server.url, cool_down_seconds=0.1) as verifier:
        assert time.monotonic() - begun < 2
        server.thaw()
        await eventually(lambda: accepted(verifier, token()))
