"""Tokens that must not be accepted, and those that must."""

import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from config.issuers import Issuer
from middlewares.auth.compact import TokenRefused
from middlewares.auth.jwks import KeySets
from middlewares.auth.jwt import IssuerUnavailable, TokenExpired, TokenVerifier
from tests.auth.hostile import ATTACKER, hostile_tokens
from tests.auth.issuer import AUDIENCE, ISSUER, claims, jwk, key_set, rsa_key, token

EC = ec.generate_private_key(ec.SECP256R1())


async def no_fetch(url: str, *, trusted: bool = True) -> bytes:
    raise AssertionError(f"{url} must not be fetched")


async def verifier(path: Path, *keys: dict[str, Any], **settings: Any) -> TokenVerifier:
    """Return a verifier of one issuer, whose key set in a file holds `keys`, by default the test's RSA key."""
    file = path / "jwks.json"
    file.write_bytes(key_set(*keys or (jwk(rsa_key(), kid="k1"),)))
    settings = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": file, "app": "app_1", **settings}
    issuers = [Issuer.model_validate(settings)]
    sets = KeySets(issuers, no_fetch)
    await sets.start()
    await sets.stop()
    return TokenVerifier(issuers, sets)


async def test_a_good_token_names_app_and_user(tmp_path: Path) -> None:
    now = int(time.time())
    identity = (await verifier(tmp_path)).verify(token(claims(exp=now + 60)))
    assert (identity.app, identity.user, identity.plan, identity.expires_at) == ("app_1", "ann", None, now + 60 + 30)


@pytest.mark.parametrize("kind", [None, "JWT", "jwt", "at+jwt", "application/at+jwt"])
async def test_access_token_types_are_accepted(tmp_path: Path, kind: str | None) -> None:
    assert (await verifier(tmp_path)).verify(token(typ=kind)).user == "ann"


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("RS512", rsa_key()),
        ("PS256", rsa_key()),
        ("ES256", EC),
        ("ES384", ec.generate_private_key(ec.SECP384R1())),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    ],
)
async def test_every_kind_of_key_works_with_and_without_a_key_id(tmp_path: Path, algorithm: str, key: Any) -> None:
    verify = (await verifier(tmp_path, jwk(key, kid="k1"), algorithms=(algorithm,))).verify
    assert verify(token(key=key, algorithm=algorithm)).user == "ann"
    assert verify(token(key=key, algorithm=algorithm, kid=None)).user == "ann"


async def test_claims_are_mapped_as_configured(tmp_path: Path) -> None:
    verify = (
        await verifier(tmp_path, app=None, app_claim="azp", user_claim="uid", plan_claim="plan", plans=["premium"])
    ).verify
    identity = verify(token(claims(azp="app_2", uid="u-7", plan="premium")))
    assert (identity.app, identity.user, identity.plan) == ("app_2", "u-7", "premium")
    assert verify(token(claims(azp="app_2", uid="u-7"))).plan is None
    for wrong in ({"azp": None}, {"azp": 7}, {"uid": None}, {"plan": 7}, {"plan": ["premium"]}):
        with pytest.raises(TokenRefused):
            verify(token(claims(**{"azp": "app_2", "uid": "u-7", **wrong})))


async def test_one_issuer_may_serve_several_audiences(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(key_set(jwk(rsa_key(), kid="k1")))
    issuers = [Issuer(issuer=ISSUER, audience=name, jwks_file=file, app=f"app_{name}") for name in ("a", "b")]
    sets = KeySets(issuers, no_fetch)
    await sets.start()
    await sets.stop()
    verify = TokenVerifier(issuers, sets).verify
    assert verify(token(claims(aud="b"))).app == "app_b"
    assert verify(token(claims(aud=["x", "a"]))).app == "app_a"


@pytest.mark.parametrize("user", ["", "a b", "a/b", "a:b", "ä", "../x", "a" * 129, "ann\n", "a}b"])
async def test_users_with_other_characters_are_refused(tmp_path: Path, user: str) -> None:
    with pytest.raises(TokenRefused):
        (await verifier(tmp_path)).verify(token(claims(sub=user)))


HOSTILE = hostile_tokens()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", HOSTILE)
async def test_nothing_hostile_is_accepted(tmp_path: Path, name: str) -> None:
    verify = (await verifier(tmp_path)).verify
    assert verify(token()).user == "ann"
    with pytest.raises(TokenRefused) as refused:
        verify(HOSTILE[name])
    assert refused.value.status == 401
    assert "ann" not in str(refused.value)
    assert isinstance(refused.value, TokenExpired) == (name == "expired")


@pytest.mark.parametrize(
    "useless",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k1"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k1", "alg": "RS256"},
        jwk(rsa_key(), kid="k1", use="enc"),
        jwk(rsa_key(), kid="k1", key_ops=["wrapKey", "encrypt"]),
        jwk(rsa_key(), kid="k1", key_ops="verify"),
        jwk(rsa_key(), kid="k1", alg="RS512"),
        jwk(rsa_key(), kid="k1", alg="HS256"),
        {**jwk(rsa_key(), kid="k1"), "d": "AQAB"},
        jwk(rsa_key("short", 1024), kid="k1"),
        jwk(EC, kid="k1"),
        {"kty": "RSA", "kid": "k1"},
        {"kid": "k1"},
        {},
    ],
)
async def test_key_sets_without_a_proper_key_verify_nothing(tmp_path: Path, useless: dict[str, Any]) -> None:
    with pytest.raises(IssuerUnavailable) as refused:
        (await verifier(tmp_path, useless)).verify(token())
    assert refused.value.status == 503


async def test_a_key_that_says_it_verifies_is_used(tmp_path: Path) -> None:
    assert (await verifier(tmp_path, jwk(rsa_key(), kid="k1", key_ops=["verify"]))).verify(token()).user == "ann"


async def test_an_elliptic_key_of_another_curve_is_not_used(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256K1())
    with pytest.raises(IssuerUnavailable):
        (await verifier(tmp_path, jwk(other, kid="k1"), algorithms=("ES256",))).verify(token(key=EC, algorithm="ES256"))


async def test_two_keys_without_ids_are_not_guessed_between(tmp_path: Path) -> None:
    verify = (await verifier(tmp_path, jwk(rsa_key()), jwk(ATTACKER))).verify
    with pytest.raises(TokenRefused):
        verify(token(kid=None))


async def test_claims_within_claims_and_names_with_dots_are_found(tmp_path: Path) -> None:
    verify = (
        await verifier(
            tmp_path,
            app=None,
            app_claim="org.id",
            apps={"acme": "app_2"},
            user_claim="https://idp.example/user.id",
            plan_claim="https://idp.example/plan",
            plans={"gold": "premium"},
            tier_claim="realm.access.tier",
            tiers=["fast"],
        )
    ).verify
    good: dict[str, Any] = {
        "org": {"id": "acme"},
        "https://idp.example/user": {"id": "u-7"},
        "https://idp.example/plan": "gold",
        "realm": {"access": {"tier": "fast"}},
    }
    identity = verify(token(claims(**good)))
    assert (identity.app, identity.user, identity.plan, identity.tier) == ("app_2", "u-7", "premium", "fast")
    for wrong, status in (
        ({"org": {"id": "other"}}, 401),
        ({"org": "acme"}, 401),
        ({"org": {"id": ["acme"]}}, 401),
        ({"https://idp.example/plan": "premium"}, 403),
        ({"https://idp.example/plan": {"gold": 1}}, 401),
        ({"realm": {"access": {"tier": "slow"}}}, 403),
        ({"realm": {"access": {"tier": ["fast"]}}}, 401),
    ):
        with pytest.raises(TokenRefused) as refused:
            verify(token(claims(**{**good, **wrong})))
        assert refused.value.status == status, wrong


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("openid generate", {"inference"}),
        (["openid", "generate"], {"inference"}),
        ("inference", set()),
        ("", set()),
        (None, set()),
        (7, None),
        (["generate", 7], None),
        ([["generate"]], None),
        ({"generate": True}, None),
    ],
)
async def test_scopes_are_a_text_or_a_list_of_texts(tmp_path: Path, scope: Any, expected: set[str] | None) -> None:
    verify = (await verifier(tmp_path, scope_claim="scp", scopes={"generate": "inference"})).verify
    sent = token(claims(scp=scope))
    if expected is None:
        with pytest.raises(TokenRefused):
            verify(sent)
    else:
        assert verify(sent).scopes == frozenset(expected)


async def test_the_leeway_counts(tmp_path: Path) -> None:
    assert (await verifier(tmp_path)).verify(token(claims(exp=int(time.time()) - 10))).user == "ann"
    with pytest.raises(TokenExpired):
        (await verifier(tmp_path, leeway_seconds=0)).verify(token(claims(exp=int(time.time()) - 10)))
