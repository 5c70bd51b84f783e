"""The endpoints of the issuer that take forms, and the public documents. Plain Starlette: OAuth has its own errors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from middlewares.auth.ports import CredentialJudge
from middlewares.auth.records import AppRecord
from middlewares.auth.verdict import Denial, Grant, Verdict
from middlewares.exchange import Exchange, Refusal
from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.control.audit.log import AuditLog
from proxy.control.revoked_tokens import RevokedTokens
from proxy.identity.client_authentication import (
    ClientAuthentication,
    ClientSecret,
    basic_credentials,
    invalid_client,
)
from proxy.identity.issuer_keys import CACHED_SECONDS
from proxy.identity.token_issuer import ISSUER_PATH, TokenIssuer
from proxy.oidc.discovery import discovery_document
from proxy.oidc.forms import SUBJECT_TOKEN_INVALID, Form, in_oauth_words, oauth_refusal, read_form, required
from proxy.oidc.grants import CLIENT_CREDENTIALS, JWT, TOKEN_EXCHANGE, Grants

_NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}
_KEPT_SECONDS = 60.0
"""Seconds that a revocation is remembered past the end of its token, more than any leeway."""
_CACHED = {"cache-control": f"public, max-age={CACHED_SECONDS}"}
DISCOVERY_PATH = "/.well-known/openid-configuration"
METADATA_PATH = f"/.well-known/oauth-authorization-server{ISSUER_PATH}"
"""Where clients of OAuth look for an issuer with a path (RFC 8414 section 3.1)."""
APP_TOKEN_PATH = "/api/v1/apps/{client_id}/oidc/token"  # noqa: S105 - a path


@dataclass(frozen=True, slots=True)
class OidcEndpoints:
    """The issuer over HTTP."""

    issuer: TokenIssuer
    grants: Grants
    clients: ClientAuthentication
    credentials: CredentialJudge
    revoked: RevokedTokens
    audit: AuditLog

    def routes(self) -> list[BaseRoute]:
        """Return the routes below the issuer's own path."""
        return [
            Route(f"{ISSUER_PATH}/token", self.token, methods=["POST"]),
            Route(f"{ISSUER_PATH}/token/revocation", self.revocation, methods=["POST"]),
            Route(f"{ISSUER_PATH}/token/introspection", self.introspection, methods=["POST"]),
            Route(f"{ISSUER_PATH}/jwks", self.jwks),
            Route(ISSUER_PATH + DISCOVERY_PATH, self.discovery),
        ]

    def well_known_routes(self) -> list[BaseRoute]:
        """Return the routes at the root of the site."""
        return [Route(DISCOVERY_PATH, self.discovery), Route(METADATA_PATH, self.discovery)]

    def app_routes(self) -> list[BaseRoute]:
        """Return the routes among those of an app."""
        return [Route(APP_TOKEN_PATH, self.app_token, methods=["POST"])]

    async def discovery(self, _: Request) -> Response:
        """Return the discovery document."""
        algorithm = self.issuer.keys.signing().algorithm
        return JSONResponse(discovery_document(self.issuer.url, algorithm), headers=_CACHED)

    async def jwks(self, _: Request) -> Response:
        """Return the public keys."""
        return Response(self.issuer.keys.public(), media_type="application/json", headers=_CACHED)

    async def token(self, request: Request) -> Response:
        """Issue a token (RFC 6749 section 3.2)."""
        form = await read_form(request)
        grant_type = required(form, "grant_type")
        if grant_type == CLIENT_CREDENTIALS:
            client = await self._client(request, form)
            return JSONResponse(self.grants.client_credentials(client, form), headers=_NO_STORE)
        if grant_type == TOKEN_EXCHANGE:
            app = await self._client(request, form) if _sent_secret(request, form) else None
            client_id = form.get("client_id") if app is None else app.client_id
            return await self._exchange(request, form, app, client_id)
        raise oauth_refusal("unsupported_grant_type", f"The grant_type must be {CLIENT_CREDENTIALS} or an exchange.")

    async def app_token(self, request: Request) -> Response:
        """Exchange a credential of one app, whose id is in the path."""
        form = await read_form(request)
        if required(form, "grant_type") != TOKEN_EXCHANGE:
            raise oauth_refusal("unsupported_grant_type", f"The grant_type must be {TOKEN_EXCHANGE}.")
        app = await self._client(request, form) if _sent_secret(request, form) else None
        client_id = request.path_params["client_id"]
        if app is not None and app.client_id != client_id:
            raise oauth_refusal("invalid_request", "The client is not the app of this path.")
        return await self._exchange(request, form, app, client_id)

    async def _exchange(self, request: Request, form: Form, app: AppRecord | None, client_id: str | None) -> Response:
        address = _address(request)
        try:
            response = await self.grants.exchange(form, app, client_id, address)
        except Refusal as refusal:
            # Whoever guesses keys here is slowed down as everywhere else. A JWT that an app presents is no guess.
            if refusal.code == SUBJECT_TOKEN_INVALID and (app is None or form["subject_token_type"] != JWT):
                self.clients.count_failure("", address)
            raise
        return JSONResponse(response, headers=_NO_STORE)

    async def revocation(self, request: Request) -> Response:
        """End a token of the client (RFC 7009). One that is unknown, or another client's, is no error."""
        form = await read_form(request)
        app = await self._client(request, form)
        credential = required(form, "token")
        token_id = _token_id(await self.credentials.judge(credential.encode()), app)
        if token_id is not None:
            claims = _claims(credential)
            actor = Actor(ActorKind.APP, app.client_id, address=_address(request))
            async with self.audit.act(actor, "token.revoke", AuditTarget("token", token_id, app.client_id)) as act:
                act.detail["user"] = claims["sub"] if claims["sub"] != app.client_id else None
                await self.revoked.revoke(token_id, claims["exp"] + _KEPT_SECONDS)
        return Response(headers=_NO_STORE)

    async def introspection(self, request: Request) -> Response:
        """Return what a credential of the client is good for (RFC 7662); of any other only that it is not active."""
        form = await read_form(request)
        app = await self._client(request, form)
        credential = required(form, "token")
        grant = await self._grant_of(app, credential)
        return JSONResponse(introspected(grant, credential) if grant else {"active": False}, headers=_NO_STORE)

    async def _grant_of(self, app: AppRecord, credential: str) -> Grant | None:
        verdict = await self.credentials.judge(credential.encode())
        if isinstance(verdict, Denial) or verdict.principal.app != app.client_id:
            return None
        return verdict

    async def _client(self, request: Request, form: Form) -> AppRecord:
        try:
            return await self.clients.authenticate(_client_secret(request, form), _address(request))
        except Refusal as refusal:
            raise in_oauth_words(refusal) if refusal.status == 401 else refusal from None


def _address(request: Request) -> str:
    exchange: Exchange = request.scope["tollgate.exchange"]
    return exchange.client_address


def _sent_secret(request: Request, form: Form) -> bool:
    return "authorization" in request.headers or "client_secret" in form


def _client_secret(request: Request, form: Form) -> ClientSecret:
    """Return the client's id and secret, sent by Basic or in the form, never both (RFC 6749 section 2.3)."""
    headers = request.headers.getlist("authorization")
    if len(headers) > 1 or (headers and "client_secret" in form):
        raise oauth_refusal("invalid_request", "The client authenticates itself in more than one way.")
    if headers:
        sent = basic_credentials(headers[0])
        if sent is None:
            raise invalid_client("Clients authenticate themselves by Basic, or by client_id and client_secret.")
        if form.get("client_id", sent.client_id) != sent.client_id:
            raise oauth_refusal("invalid_request", "The client_id is not the one in the Authorization header.")
        return sent
    if "client_id" not in form or "client_secret" not in form:
        raise invalid_client("Send client_id and client_secret in the form, or both by Basic.")
    return ClientSecret(form["client_id"], form["client_secret"])


def _token_id(verdict: Verdict, app: AppRecord) -> str | None:
    """Return the `jti` of a verified token of ours for that app, also of a suspended user; None for all else.

    A denial names the token only once its signature was verified, and the app only where the token is its own.
    """
    if app.ref not in verdict.rests_on:
        return None
    return next((ref.id for ref in verdict.rests_on if ref.kind == "token"), None)


def _claims(token: str) -> dict[str, Any]:
    """Return the claims of a token that was verified before."""
    return dict(jwt.decode(token, options={"verify_signature": False}))


def introspected(grant: Grant, credential: str) -> dict[str, Any]:
    """Return the introspection of a valid credential, a token of ours by its own claims."""
    principal = grant.principal
    members: dict[str, Any] = {
        "active": True,
        "scope": " ".join(sorted(grant.scopes)),
        "client_id": principal.app,
        "sub": principal.user or principal.app,
        "token_type": "Bearer",
    }
    if any(ref.kind == "token" for ref in grant.rests_on):
        claims = _claims(credential)
        members |= {name: claims[name] for name in ("iss", "aud", "iat", "exp", "jti")}
    elif grant.expires_at is not None:
        members["exp"] = math.floor(grant.expires_at)
    return members
