"""Tokens that must not be accepted, each wrong in one way, and otherwise good."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

from cryptography.hazmat.primitives import serialization

from middlewares.auth.compact import MAX_TOKEN_BYTES
from tests.auth.issuer import AUDIENCE, ISSUER, claims, encoded, jwk, rsa_key, signed, token

HEADER = b'{"alg":"RS256","kid":"k1"}'
ATTACKER = rsa_key("attacker")
PUBLIC_PEM = (
    rsa_key().public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
)


def hmac_signed(text: bytes, secret: bytes) -> bytes:
    """Return a token signed by HS256 with something public as the secret."""
    body = encoded(b'{"alg":"HS256","kid":"k1"}') + b"." + encoded(text)
    return body + b"." + encoded(hmac.digest(secret, body, hashlib.sha256))


def unsigned(text: bytes, algorithm: str) -> bytes:
    """Return a token without a signature."""
    header = json.dumps({"alg": algorithm, "kid": "k1"}).encode()
    return encoded(header) + b"." + encoded(text) + b"."


def hostile_tokens(issuer: str = ISSUER, **members: Any) -> dict[str, bytes]:
    """Return the tokens by what is wrong with them. `members` are claims that a good token has, too."""

    def good(**changes: Any) -> dict[str, Any]:
        return claims(**{"iss": issuer, **members, **changes})

    now = int(time.time())
    text = json.dumps(good()).encode()
    return {
        "alg none": unsigned(text, "none"),
        "alg None": unsigned(text, "None"),
        "alg nOnE": unsigned(text, "nOnE"),
        "alg RS256 without signature": unsigned(text, "RS256"),
        "no alg": signed(b'{"kid":"k1"}', text),
        "alg a list": signed(b'{"alg":["RS256"],"kid":"k1"}', text),
        "alg null": signed(b'{"alg":null,"kid":"k1"}', text),
        "HS256 keyed with the public PEM": hmac_signed(text, PUBLIC_PEM),
        "HS256 keyed with the JWK": hmac_signed(text, json.dumps(jwk(rsa_key(), kid="k1")).encode()),
        "HS256 keyed with the modulus": hmac_signed(text, jwk(rsa_key())["n"].encode()),
        "algorithm of the same key that is not configured": token(good(), algorithm="RS512"),
        "signed by a stranger": token(good(), key=ATTACKER),
        "embedded jwk": token(good(), key=ATTACKER, jwk=jwk(ATTACKER, kid="k1")),
        "embedded jwk, no kid": token(good(), key=ATTACKER, kid=None, jwk=jwk(ATTACKER)),
        "jku": token(good(), key=ATTACKER, jku="http://127.0.0.1:1/jwks.json"),
        "x5u": token(good(), key=ATTACKER, x5u="http://127.0.0.1:1/cert.pem"),
        "x5c": token(good(), key=ATTACKER, x5c=["MIIB"]),
        "kid traversal": token(good(), key=ATTACKER, kid="../../../../dev/null"),
        "kid injection": token(good(), key=ATTACKER, kid="k1' UNION SELECT 'x"),
        "kid of another type": signed(b'{"alg":"RS256","kid":1}', text),
        "kid unknown": token(good(), kid="k2"),
        "jwk of its own key": token(good(), jwk=jwk(rsa_key())),
        "jku of its own issuer": token(good(), jku="https://idp.example/jwks.json"),
        "x5u of its own issuer": token(good(), x5u="https://idp.example/cert.pem"),
        "x5c of its own key": token(good(), x5c=["MIIB"]),
        "b64 without crit": signed(b'{"alg":"RS256","kid":"k1","b64":true}', text),
        "crit": token(good(), crit=["exp"]),
        "crit empty": signed(b'{"alg":"RS256","kid":"k1","crit":[]}', text),
        "b64 false": signed(b'{"alg":"RS256","kid":"k1","b64":false,"crit":["b64"]}', text),
        "typ of a logout token": token(good(), typ="logout+jwt"),
        "typ of another type": signed(b'{"alg":"RS256","kid":"k1","typ":7}', text),
        "other issuer": token(good(iss="https://evil.example")),
        "issuer with a slash": token(good(iss=issuer + "/")),
        "issuer a list": signed(HEADER, json.dumps(good(iss=[issuer])).encode()),
        "no issuer": token(good(iss=None)),
        "other audience": token(good(aud="somebody")),
        "audience a prefix": token(good(aud=AUDIENCE + "x")),
        "audience an object": token(good(aud={AUDIENCE: True})),
        "audience a list with an object": token(good(aud=[AUDIENCE, {"x": 1}])),
        "audience a list of lists": token(good(aud=[[AUDIENCE]])),
        "audience an empty list": token(good(aud=[])),
        "no audience": token(good(aud=None)),
        "no subject": token(good(sub=None)),
        "subject a list": signed(HEADER, json.dumps({**good(), "sub": ["ann"]}).encode()),
        "subject a number": signed(HEADER, json.dumps({**good(), "sub": 7}).encode()),
        "id a list": signed(HEADER, json.dumps(good(jti=["a"])).encode()),
        "id a number": signed(HEADER, json.dumps(good(jti=7)).encode()),
        "subject null": signed(HEADER, json.dumps({**good(), "sub": None}).encode()),
        "no expiry": token(good(exp=None)),
        "expired": token(good(exp=now - 3_600)),
        "expiry a word": signed(HEADER, json.dumps({**good(), "exp": "never"}).encode()),
        "expiry infinite": signed(HEADER, json.dumps({**good(), "exp": float("inf")}).encode()),
        "expiry a text of digits": signed(HEADER, text.replace(b'"exp": ', b'"exp": "99999999999", "x": ')),
        "expiry true": signed(HEADER, text.replace(b'"exp": ', b'"exp": true, "x": ')),
        "expiry NaN": signed(HEADER, text.replace(b'"exp": ', b'"exp": NaN, "x": ')),
        "expiry of 400 digits": signed(HEADER, text.replace(b'"exp": ', b'"exp": 1' + b"0" * 400 + b', "x": ')),
        "not before of 400 digits below zero": signed(HEADER, text[:-1] + b',"nbf":-1' + b"0" * 400 + b"}"),
        "not before a text": signed(HEADER, text[:-1] + b',"nbf":"0"}'),
        "not before null": signed(HEADER, text[:-1] + b',"nbf":null}'),
        "issued at a list": signed(HEADER, text.replace(b'"iat": ', b'"iat": [1], "x": ')),
        "expiry 1e999": signed(HEADER, text.replace(b'"exp": ', b'"exp": 1e999, "x": ')),
        "not yet valid": token(good(nbf=now + 3_600)),
        "issued in the future": token(good(iat=now + 3_600)),
        "duplicate subject": signed(HEADER, text[:-1] + b',"sub":"root"}'),
        "duplicate algorithm": signed(b'{"alg":"none","kid":"k1","alg":"RS256"}', text),
        "one megabyte": token(good(padding="x" * 2**20)),
        "one byte too long": token(good()) + b"=" * (MAX_TOKEN_BYTES + 1 - len(token(good()))),
        "deeply nested header": encoded(b'{"alg":' + b"[" * 5_000 + b"]" * 5_000 + b"}") + b".e30.AA",
        "deeply nested claims": encoded(HEADER) + b"." + encoded(b"[" * 5_000) + b".AA",
        "header no object": signed(b'"RS256"', text),
        "claims no object": signed(HEADER, b"[]"),
        "claims no JSON": signed(HEADER, b"{"),
        "claims no UTF-8": signed(HEADER, b'{"sub":"\xff"}'),
        "no base64": b"!!!.???.***",
        "empty parts": b"..",
        "two parts": b".".join(token(good()).split(b".")[:2]),
        "four parts": token(good()) + b".AA",
        "encrypted (five parts)": token(good()) + b".AA.AA",
        "signature cut": token(good())[:-8],
        "signature of another token": b".".join(
            [*token(good(sub="root")).split(b".")[:2], token(good()).split(b".")[2]]
        ),
        "padding of standard base64": token(good()).replace(b"-", b"+").replace(b"_", b"/") + b"+",
        "signature with characters that decoders skip": token(good())[:-9] + b"!~ " + token(good())[-9:],
        "header in standard base64": signed(b'{"alg":"RS256","kid":"k1","x":"???>>>"}', text).replace(b"_", b"/", 1),
        "newline behind": token(good()) + b"\n",
    }
