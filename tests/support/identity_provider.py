"""An OpenID Connect provider on a socket of this process, which lies on request."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.support.served import served

Claims = dict[str, Any]
CLIENT_ID, CLIENT_SECRET = "tollgate at the provider", "a secret with %: signs"


def new_key(kid: str = "1") -> ECKey:
    """Return a signing key."""
    return ECKey.generate_key("P-256", {"kid": kid, "alg": "ES256", "use": "sig"}, auto_kid=False)


@dataclass
class IdentityProvider:
    """Whoever comes is the person of `person`, without a question."""

    issuer: str = ""
    person: Claims = field(default_factory=dict)
    change: Callable[[Claims], Claims] = field(default=lambda claims: claims)
    """Changes the claims of the next ID tokens."""
    key: ECKey = field(default_factory=new_key)
    signing_key: ECKey | None = None
    """Signs in place of `key`, which is the one that is published."""
    down: bool = False
    document: Claims = field(default_factory=dict)
    """Members of the discovery document in place of its own."""
    named: str | None = None
    """`iss` of authorization responses (RFC 9207)."""
    token_response: bytes | None = None
    """Body of the token endpoint's responses, in place of what it should say."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Paths of requests."""

    @property
    def settings(self) -> Claims:
        """Return the settings of `portal.oidc`."""
        return {
            "issuer": self.issuer,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "label": "House <Id>",
            "domains": ["house.example"],
        }

    def honest(self, subject: str = "ann", **claims: Any) -> None:
        """Tell the truth about a person from now on."""
        self.person = {"sub": subject, "email": f"{subject}@house.example", "email_verified": True, **claims}
        self.change, self.signing_key, self.down, self.named = (lambda found: found), None, False, None
        self.token_response = None

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/.well-known/openid-configuration", self._discovery),
            Route("/authorize", self._authorize),
            Route("/token", self._token, methods=["POST"]),
            Route("/jwks", self._key_set),
        ]

    async def _discovery(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        if self.down:
            return Response(status_code=503)
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
                "transport": "evil",
                "verify": False,
                **self.document,
            }
        )

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code"
        assert (asked["client_id"], asked["code_challenge_method"]) == (CLIENT_ID, "S256")
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        given = {"code": code, "state": asked["state"], **({"iss": self.named} if self.named else {})}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(given)}", 302)

    async def _token(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        if self.down:
            return Response(status_code=502)
        sent = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        basic = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        asked = self.codes.pop(sent.get("code", ""), None)
        if basic not in (f"{CLIENT_ID}:{CLIENT_SECRET}", unquote(basic)) or asked is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        digest = hashlib.sha256(sent["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if challenge != asked["code_challenge"] or sent["redirect_uri"] != asked["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        if self.token_response is not None:
            return Response(self.token_response, media_type="application/json")
        return JSONResponse({"access_token": "at", "token_type": "Bearer", "id_token": self.id_token(asked["nonce"])})

    def id_token(self, nonce: str) -> str:
        """Return a token about the person."""
        now = int(time.time())
        claims = self.change(
            {
                "iss": self.issuer,
                "aud": CLIENT_ID,
                "iat": now,
                "exp": now + 300,
                "nonce": nonce,
                **self.person,
            }
        )
        return jwt.encode({"alg": "ES256", "kid": "1"}, claims, self.signing_key or self.key)

    async def _key_set(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        return Response(status_code=503) if self.down else JSONResponse({"keys": [self.key.as_dict(private=False)]})


@contextlib.asynccontextmanager
async def identity_provider() -> AsyncIterator[IdentityProvider]:
    """Run a provider."""
    provider = IdentityProvider()
    async with served(Starlette(routes=provider.routes())) as origin:
        provider.issuer = origin
        provider.honest()
        yield provider


def query_of(url: str) -> dict[str, str]:
    """Return the query of a URL."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
