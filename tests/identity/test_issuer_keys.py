"""Hazards: two keys made by two workers at once, a key that signs before it is known, one that goes too early."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import jwt
import pytest
from structlog.testing import capture_logs

from config.control import IssuerSettings
from config.loader import ConfigError
from middlewares.auth.compact import TokenRefused
from middlewares.auth.jwks import KeySets
from middlewares.auth.jwt import SigningKeyUnknown, TokenVerifier
from proxy.identity.issuer_keys import CACHED_SECONDS, FOLDER, IssuerKeys
from proxy.identity.signing_keys import current, generate, rotated
from proxy.identity.token_issuer import TokenIssuer, TokenSubject, own_issuer

ORIGIN = "https://gate.example"
SETTINGS = IssuerSettings()
SUBJECT = TokenSubject("app_a", "usr_b", external_id="ann")


async def no_fetch(url: str, *, trusted: bool = True) -> bytes:
    raise AssertionError(f"{url} must not be fetched")


async def verifier(keys: IssuerKeys) -> TokenVerifier:
    """Return a verifier with the keys that are published now."""
    own = own_issuer(ORIGIN, keys)
    sets = KeySets([own], no_fetch)
    await sets.start()
    await sets.stop()
    return TokenVerifier((), sets, own)


@pytest.mark.slow
def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from config.control import IssuerSettings; "
        "from proxy.identity.issuer_keys import IssuerKeys; "
        "print(IssuerKeys.open(Path(sys.argv[1]), IssuerSettings()).signing().kid)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    kids = {process.communicate()[0] for process in started}
    assert len(kids) == 1
    assert len(json.loads((tmp_path / FOLDER / "jwks.json").read_text())["keys"]) == 1


def test_private_keys_are_for_their_owner_and_the_public_set_holds_none(tmp_path: Path) -> None:
    keys = IssuerKeys.open(tmp_path, SETTINGS)
    assert stat.S_IMODE(keys.files.private.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.files.folder.stat().st_mode) == 0o700
    assert '"d"' not in keys.files.public.read_text()
    assert "PRIVATE" not in repr(keys.signing())


def test_a_rotation_is_seen_although_the_clock_was_set_back(tmp_path: Path) -> None:
    """Hazard: a worker signs with a key that the others have stopped to publish, for as long as the clock was wrong."""
    now = [time.time() + 86_400]
    files = IssuerKeys.open(tmp_path, SETTINGS).files
    worker = IssuerKeys(files, lambda: now[0])
    first = worker.signing()
    now[0] -= 86_400
    second = IssuerKeys(files).rotate(SETTINGS, lead=0)
    now[0] += 1
    assert (worker.signing().kid, second.kid != first.kid) == (second.kid, True)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_a_token_is_verified_by_the_published_key(tmp_path: Path, algorithm: str) -> None:
    settings = IssuerSettings.model_validate({"algorithm": algorithm})
    keys = IssuerKeys.open(tmp_path, settings)
    token = TokenIssuer(ORIGIN, keys, settings).issue(SUBJECT, {"inference"})
    assert jwt.get_unverified_header(token.text)["alg"] == algorithm
    identity = (await verifier(keys)).verify(token.text.encode())
    assert (identity.app, identity.user, identity.scopes) == ("app_a", "usr_b", frozenset({"inference"}))
    assert identity.token_id
    assert token.text not in repr(token)


async def test_a_token_of_an_app_has_no_user(tmp_path: Path) -> None:
    keys = IssuerKeys.open(tmp_path, SETTINGS)
    token = TokenIssuer(ORIGIN, keys, SETTINGS).issue(TokenSubject("app_a"), {"inference"})
    assert (await verifier(keys)).verify(token.text.encode()).user is None


async def test_a_token_of_another_key_or_without_an_id_or_scope_is_refused(tmp_path: Path) -> None:
    keys, foreign = IssuerKeys.open(tmp_path / "a", SETTINGS), IssuerKeys.open(tmp_path / "b", SETTINGS)
    verify = (await verifier(keys)).verify
    with pytest.raises(TokenRefused):
        verify(TokenIssuer(ORIGIN, foreign, SETTINGS).issue(SUBJECT, {"inference"}).text.encode())
    with pytest.raises(TokenRefused):
        verify(TokenIssuer("https://other.example", keys, SETTINGS).issue(SUBJECT, {"admin"}).text.encode())
    good = TokenIssuer(ORIGIN, keys, SETTINGS).issue(SUBJECT, {"inference"}).text
    claims = jwt.decode(good, options={"verify_signature": False})
    key = keys.signing()
    for member, value in [("scope", None), ("scope", ["admin"]), ("jti", None), ("jti", 1), ("key_id", 1)]:
        changed = {name: each for name, each in {**claims, member: value}.items() if each is not None}
        token = jwt.encode(changed, key.private_pem, key.algorithm, {"kid": key.kid, "typ": "at+jwt"})
        with pytest.raises(TokenRefused):
            verify(token.encode())


@pytest.mark.ci
async def test_bad_key_ids_of_our_own_issuer_cause_one_look_at_the_file_in_a_cool_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: a thread and a file for each token that anybody makes up."""
    keys = IssuerKeys.open(tmp_path, SETTINGS)
    own = own_issuer(ORIGIN, keys)
    assert own.cool_down_seconds == 5
    own = own.model_copy(update={"refresh_seconds": 600, "cool_down_seconds": 0.3})
    looks: list[float] = []
    look = Path.stat

    def counted(path: Path, **options: bool) -> os.stat_result:
        if path == keys.files.public:
            looks.append(time.monotonic())
        return look(path, **options)

    monkeypatch.setattr(Path, "stat", counted)
    sets = KeySets([own], no_fetch)
    verify = TokenVerifier((), sets, own).verify
    claims = jwt.decode(
        TokenIssuer(ORIGIN, keys, SETTINGS).issue(SUBJECT, {"inference"}).text, options={"verify_signature": False}
    )
    key = keys.signing()
    bad = jwt.encode(claims, key.private_pem, key.algorithm, {"kid": "bad", "typ": "at+jwt"}).encode()
    looks.clear()
    await sets.start()
    sent = 0
    while len(looks) < 4:
        for _ in range(20):
            with pytest.raises(SigningKeyUnknown):
                verify(bad)
        sent += 20
        await asyncio.sleep(0.01)
    await sets.stop()
    assert sent >= 300
    assert min(later - earlier for earlier, later in pairwise(looks)) >= 0.29


async def test_a_rotation_is_known_before_it_signs_and_the_old_key_outlives_its_tokens(tmp_path: Path) -> None:
    now = [time.time()]
    IssuerKeys.open(tmp_path, SETTINGS)
    keys = IssuerKeys(IssuerKeys.open(tmp_path, SETTINGS).files, clock=lambda: now[0])
    issuer = TokenIssuer(ORIGIN, keys, SETTINGS)
    first = keys.signing().kid
    old_token = issuer.issue(SUBJECT, {"inference"}).text.encode()
    new = IssuerKeys.open(tmp_path, SETTINGS).rotate(SETTINGS, 600)
    now[0] += 10
    assert keys.signing().kid == first, "published, and not used yet"
    known = await verifier(keys)
    known.verify(old_token)
    now[0] += 600
    assert keys.signing().kid == new.kid
    known.verify(issuer.issue(SUBJECT, {"inference"}).text.encode())
    published = {key.kid for key in keys.files.read()}
    assert published == {first, new.kid}


def test_a_replaced_key_goes_once_its_last_token_has_expired() -> None:
    first = generate("ES256", 0)
    second = rotated([first], SETTINGS, 1_000, lead=100)
    ends = second[0].ends_at
    assert ends is not None
    assert ends >= 1_100 + SETTINGS.longest_seconds
    assert [key.kid for key in rotated(second, SETTINGS, ends - 1, lead=0)][:1] == [first.kid]
    assert first.kid not in {key.kid for key in rotated(second, SETTINGS, ends + 1, lead=0)}
    assert current(second, 1_099).kid == first.kid
    assert current(second, 1_100).kid == second[-1].kid
    assert current([second[-1]], 0).kid == second[-1].kid


def test_a_change_of_algorithm_makes_a_key_beside_the_old_one(tmp_path: Path) -> None:
    IssuerKeys.open(tmp_path, SETTINGS)
    changed = IssuerSettings(algorithm="RS256")
    keys = IssuerKeys.open(tmp_path, changed)
    IssuerKeys.open(tmp_path, changed)
    assert [key.algorithm for key in keys.files.read()] == ["ES256", "RS256"]


def test_a_new_algorithm_signs_once_no_cache_holds_the_key_set_from_before(tmp_path: Path) -> None:
    """Hazard: verifiers that may keep the key set for minutes meet tokens of a key that it does not have."""
    IssuerKeys.open(tmp_path, SETTINGS)
    keys = IssuerKeys.open(tmp_path, IssuerSettings(algorithm="RS256"))
    assert keys.files.read()[1].signs_from >= time.time() + CACHED_SECONDS
    assert keys.signing().algorithm == "ES256"


def test_keys_that_cannot_be_read_are_no_reason_for_new_ones(tmp_path: Path) -> None:
    keys = IssuerKeys.open(tmp_path, SETTINGS)
    keys.files.private.write_text("[{")
    with pytest.raises(ConfigError, match="data_dir"):
        IssuerKeys.open(tmp_path, SETTINGS)


def test_a_key_that_has_ended_is_published_no_longer(tmp_path: Path) -> None:
    """Hazard: a retired key that leaks later, and still signs tokens that are taken."""
    now = [time.time()]
    keys = IssuerKeys(IssuerKeys.open(tmp_path, SETTINGS).files, clock=lambda: now[0])
    first = keys.signing().kid
    new = keys.rotate(SETTINGS, 0)
    now[0] += SETTINGS.longest_seconds + 30
    assert first in keys.public().decode()
    now[0] += 60
    assert keys.signing().kid == new.kid
    assert first not in keys.public().decode()
    assert first not in keys.files.public.read_text()
    assert first not in keys.files.private.read_text()


def test_the_last_keys_stay_in_use_while_the_files_are_away(tmp_path: Path) -> None:
    now = [time.time()]
    keys = IssuerKeys(IssuerKeys.open(tmp_path, SETTINGS).files, clock=lambda: now[0])
    kid = keys.signing().kid
    keys.files.private.rename(tmp_path / "elsewhere")
    with capture_logs() as logs:
        for _ in range(3):
            now[0] += 2
            assert keys.signing().kid == kid
    assert [line["event"] for line in logs] == ["issuer_keys_unavailable"]
