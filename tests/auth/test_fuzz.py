"""Any input to the checks of tokens and key sets gives a verdict: they raise nothing else."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.issuers import Issuer
from middlewares.auth.claims import Identity
from middlewares.auth.compact import TokenRefused
from middlewares.auth.jwks import KeySets, usable_keys
from middlewares.auth.jwt import TokenVerifier
from tests.auth.issuer import AUDIENCE, ISSUER, claims, encoded, jwk, key_set, rsa_key, signed, token

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "jwk", "x5u", "zip", "cty"])
CLAIMS = st.sampled_from(["iss", "aud", "exp", "sub", "nbf", "iat", "jti", "azp", "realm", "scope"])
KEY_MEMBERS = st.sampled_from(["kty", "n", "e", "alg", "use", "kid", "crv", "x", "y", "d", "key_ops", "oth"])


async def fetch(url: str, *, trusted: bool = True) -> bytes:
    return key_set(jwk(rsa_key(), kid="k1"))


@pytest.fixture(scope="module")
def verifier() -> TokenVerifier:
    issuer = Issuer.model_validate(
        {
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "jwks_url": "https://idp.example/jwks",
            "app_claim": "azp",
            "plan_claim": "realm.plan",
            "plans": ["premium"],
            "scope_claim": "scope",
        }
    )
    keys = KeySets([issuer], fetch)
    asyncio.run(keys[issuer].refresh())
    verifying = TokenVerifier([issuer], keys)
    assert verifying.verify(token(claims(azp="app_1"))).app == "app_1"
    return verifying


def refused(verifier: TokenVerifier, credential: bytes) -> bool:
    try:
        identity = verifier.verify(credential)
    except TokenRefused:
        return True
    assert isinstance(identity, Identity)
    return False


@given(st.binary(max_size=300))
def test_bytes_are_refused(verifier: TokenVerifier, noise: bytes) -> None:
    assert refused(verifier, noise)
    assert refused(verifier, noise + b"." + noise + b".")
    assert refused(verifier, b".".join(map(encoded, (noise, noise, noise))))


@pytest.mark.slow
@given(header=JSON | st.dictionaries(MEMBERS, JSON), payload=JSON | st.dictionaries(CLAIMS, JSON))
def test_json_of_any_shape_is_refused(verifier: TokenVerifier, header: Any, payload: Any) -> None:
    assert refused(verifier, signed(json.dumps(header).encode(), json.dumps(payload).encode()))


@pytest.mark.ci
@given(st.dictionaries(MEMBERS, JSON))
def test_a_good_signature_under_an_odd_header_raises_nothing_else(
    verifier: TokenVerifier, members: dict[str, Any]
) -> None:
    header = {"alg": "RS256", "kid": "k1", **members}
    refused(verifier, signed(json.dumps(header).encode(), json.dumps(claims(azp="app_1")).encode()))


@pytest.mark.ci
@given(st.dictionaries(CLAIMS, JSON))
@example({"exp": 10**400})
@example({"exp": "9" * 5_000})
@example({"exp": -1e308})
@example({"nbf": 10**400})
@example({"aud": [AUDIENCE, 7]})
def test_odd_claims_under_a_good_signature_raise_nothing_else(verifier: TokenVerifier, odd: dict[str, Any]) -> None:
    payload = {**claims(azp="app_1"), **odd}
    refused(verifier, signed(b'{"alg":"RS256","kid":"k1"}', json.dumps(payload).encode()))


@pytest.mark.ci
@given(st.dictionaries(KEY_MEMBERS, JSON), st.sampled_from(["RSA", "EC", "OKP", "oct"]))
def test_an_odd_key_spoils_no_good_one(members: dict[str, Any], kind: str) -> None:
    odd = {"kty": kind, **members}
    found = usable_keys(json.dumps({"keys": [odd, jwk(rsa_key(), kid="good")]}).encode(), ("RS256", "ES256", "EdDSA"))
    assert len(found["good", "RS256"]) == 1


@given(JSON)
def test_a_document_of_any_shape_is_a_key_set_or_a_value_error(document: Any) -> None:
    with pytest.raises(ValueError, match="it "):
        usable_keys(json.dumps(document).encode(), ("RS256",))
