"""JWTs of others over HTTP: those that must be accepted nowhere, and key sets that change, freeze or are attacked."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.identity.signing_keys import private_of
from proxy.identity.token_issuer import TokenSubject, claims_of
from tests.auth.hostile import hmac_signed, hostile_tokens, unsigned
from tests.auth.issuer import encoded, jwk, key_set, rsa_key
from tests.oidc.identity_provider import FIRST, JWT, Scene, scene_in
from tests.store.servers import eventually
from tests.support.builder import TOKEN, TOKEN_EXCHANGE
from tests.support.raw_http import RawConnection

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="module")]

COOL_DOWN = 1.0
"""Seconds."""
REFUSED = frozenset({400, 401, 413, 431})
Attempt = Callable[[bytes], Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Run a provider and a deployment whose cool-down is short."""
    async with scene_in(
        tmp_path_factory.mktemp("foreign"), refresh_seconds=600, cool_down_seconds=COOL_DOWN
    ) as running:
        yield running


def places(scene: Scene) -> dict[str, Attempt]:
    """Return every place that takes a token."""
    return {
        "data path": scene.work,
        "control plane": scene.own_usage,
        "exchange": scene.exchange,
        "exchange of the app": lambda sent: scene.exchange(sent, f"{scene.app.path}/oidc/token"),
    }


async def accepted(scene: Scene, hostile: dict[str, bytes]) -> list[str]:
    """Return each place with each hostile token that was accepted there."""
    found = []
    for place, attempt in places(scene).items():
        for name, sent in hostile.items():
            try:
                response = await attempt(sent)
            except httpx.LocalProtocolError:  # not sendable in a header
                continue
            except httpx.HTTPError:
                assert len(sent) > 65_536, name  # the connection is cut in the middle of it
                continue
            if response.status_code not in REFUSED:
                found.append(f"{place}: {name}: {response.status_code} {response.text}")
    return found


async def test_no_hostile_token_of_an_issuer_is_accepted_anywhere(scene: Scene) -> None:
    for place, attempt in places(scene).items():
        response = await attempt(scene.token())
        assert response.status_code == 200, (place, response.text)
    assert await accepted(scene, hostile_tokens(scene.provider.origin, org=scene.app.client_id, sub=scene.user)) == []
    for place, attempt in places(scene).items():
        assert (await attempt(scene.token())).status_code == 200, place


async def test_no_forged_token_of_our_own_issuer_is_accepted_anywhere(scene: Scene) -> None:
    user = await scene.app.user("own")
    good = (await scene.app.user_token(user)).encode()
    for place, attempt in places(scene).items():
        assert (await attempt(good)).status_code == 200, place
    assert await accepted(scene, forged(scene, user, good)) == []


def forged(scene: Scene, user: str, good: bytes) -> dict[str, bytes]:
    """Return tokens of our own issuer, most of them signed with its own key, each wrong in one way."""
    key = scene.key_files.read()[-1]
    public = json.loads(scene.key_files.public.read_bytes())["keys"][-1]
    issuer = jwt.decode(good, options={"verify_signature": False})["iss"]
    subject, now = TokenSubject(scene.app.client_id, user), int(time.time())
    right = claims_of(issuer, subject, "inference", now, 900)
    stranger = ec.generate_private_key(ec.SECP256R1())

    def signed(changes: dict[str, Any] | None = None, private: Any = None, **header: Any) -> bytes:
        payload = {name: value for name, value in {**right, **(changes or {})}.items() if value is not None}
        headers = {"kid": key.kid, "typ": "at+jwt", **header}
        return jwt.encode(payload, private or private_of(key.private_pem), "ES256", headers).encode()

    head, body, signature = good.split(b".")
    text = json.dumps(right).encode()
    tampered = base64.urlsafe_b64decode(body + b"==").replace(b'"inference"', b'"inference admin"')
    return {
        "key of a stranger": signed(private=stranger),
        "key of a stranger, brought along": signed(private=stranger, jwk=jwk(stranger)),
        "kid of a stranger": signed(kid="k1"),
        "kid of the provider, signed by the provider": jwt.encode(right, rsa_key(), "RS256", {"kid": "k1"}).encode(),
        "our kid, signed by the provider": jwt.encode(
            right, rsa_key(), "RS256", {"kid": key.kid, "typ": "at+jwt"}
        ).encode(),
        "HS256 keyed with the public key": hmac_signed(text, json.dumps(public).encode()),
        "HS256 keyed with its x": hmac_signed(text, public["x"].encode()),
        "alg none": unsigned(text, "none"),
        "no signature": unsigned(text, "ES256"),
        "claims tampered with": b".".join([head, encoded(tampered), signature]),
        "signature tampered with": b".".join([head, body, signature[:-8] + b"AAAAAAAA"]),
        "expired": signed({"exp": now - 3_600}),
        "expiry a text": signed({"exp": str(now + 900)}),
        "not yet valid": signed({"nbf": now + 3_600}),
        "other audience": signed({"aud": "tollgate"}),
        "no audience": signed({"aud": None}),
        "other issuer": signed({"iss": scene.provider.origin}),
        "subject a list": b".".join([head, encoded(json.dumps({**right, "sub": [user]}).encode()), signature]),
        "typ of an ID token": signed(typ="JWT"),
        "typ left out": jwt.encode(right, private_of(key.private_pem), "ES256", {"kid": key.kid, "typ": None}).encode(),
        "no id": signed({"jti": None}),
        "no scope": signed({"scope": None}),
        "scopes a list": signed({"scope": ["inference"]}),
        "an app that does not exist": signed({"client_id": "app_aaaaaaaaaaaaaaaa"}),
        "no app": signed({"client_id": None}),
        "app a list": signed({"client_id": [scene.app.client_id]}),
        "crit": signed(crit=["exp"]),
    }


async def test_a_rotated_key_is_accepted_within_one_cool_down(scene: Scene) -> None:
    new = {"key": rsa_key("second"), "kid": "k2"}
    scene.provider.document = key_set(jwk(rsa_key("second"), kid="k2", alg="RS256"))
    seconds = await until_accepted(scene, **new)
    print(f"\nnoticed after {seconds:.2f} s")
    assert seconds < COOL_DOWN + 1
    assert (await scene.work(scene.token())).status_code == 401, "the old key is gone from the set"
    scene.provider.document = FIRST
    assert await until_accepted(scene) < COOL_DOWN + 1


async def until_accepted(scene: Scene, **header: Any) -> float:
    """Return the seconds until the data path accepts the provider's tokens of that header."""
    begun = time.monotonic()

    async def attempt() -> bool:
        return (await scene.work(scene.token(header=header))).status_code == 200

    await eventually(attempt)
    return time.monotonic() - begun


async def test_bad_key_ids_cause_one_fetch_in_a_cool_down_and_worker(scene: Scene) -> None:
    """The configured issuer is attacked on the data path, and the registered one at the token endpoint."""
    _, claims, signature = scene.token().split(b".")
    fields = {"grant_type": TOKEN_EXCHANGE, "subject_token_type": JWT, "client_id": scene.app.client_id}
    fields |= {"client_secret": scene.app.secret}
    sent = 0
    before = len(scene.provider.fetched)
    begun = time.monotonic()

    async def attack(number: int) -> None:
        nonlocal sent
        async with await RawConnection.open(scene.running.address) as connection:
            while time.monotonic() < begun + 3:
                head = encoded(b'{"alg":"RS256","kid":"bad-%d-%d"}' % (number, sent))
                bad = b".".join([head, claims, signature])
                if number == 0:
                    form = urlencode({**fields, "subject_token": bad.decode()}).encode()
                    await connection.send(post(TOKEN, form, b"content-type: application/x-www-form-urlencoded"))
                else:
                    await connection.send(post("/llm", b"{}", b"authorization: Bearer " + bad))
                response = await connection.response()
                assert response.status == (400 if number == 0 else 401), response
                sent += 1

    await asyncio.gather(*(attack(number) for number in range(9)))
    seconds = time.monotonic() - begun
    fetches = [moment - begun for path, moment in scene.provider.fetched[before:] if path == "/jwks.json"]
    print(f"\n{sent / seconds:.0f} bad key ids a second; fetches at {fetches} of {seconds:.1f} s")
    assert sent / seconds > 100
    assert 1 <= len(fetches) <= seconds / COOL_DOWN + 1 + 1, "one each cool-down, and one of the other issuer"


def post(path: str, body: bytes, header: bytes) -> bytes:
    """Return a request."""
    return b"POST %s HTTP/1.1\r\nhost: a\r\n%s\r\ncontent-length: %d\r\n\r\n%s" % (
        path.encode(),
        header,
        len(body),
        body,
    )


@pytest.mark.slow
async def test_a_frozen_provider_delays_nobody_whose_key_is_known(scene: Scene) -> None:
    for attempt in places(scene).values():
        assert (await attempt(scene.token())).status_code == 200
    scene.provider.freeze()
    before = scene.provider.fetches
    try:

        async def fetching() -> bool:
            assert (await scene.work(scene.token(header={"kid": "bad"}))).status_code == 401
            return scene.provider.fetches > before

        await eventually(fetching)
        slowest = 0.0
        for _ in range(50):
            for attempt in places(scene).values():
                begun = time.monotonic()
                assert (await attempt(scene.token())).status_code == 200
                slowest = max(slowest, time.monotonic() - begun)
        print(f"\nslowest of 200 requests: {slowest * 1_000:.0f} ms")
        assert slowest < 1
    finally:
        scene.provider.thaw()


async def test_an_exchange_without_a_secret_is_none(scene: Scene) -> None:
    fields = {"grant_type": TOKEN_EXCHANGE, "subject_token": scene.token().decode(), "subject_token_type": JWT}
    response = await scene.app.http.post(TOKEN, data=fields)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    wrong = await scene.app.http.post(
        TOKEN, data={**fields, "client_id": scene.app.client_id, "client_secret": "tgs_no"}
    )
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
