"""The grants of the token endpoint: client credentials (RFC 6749 section 4.4) and token exchange (RFC 8693)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from middlewares.auth.compact import TokenRefused, peek
from middlewares.auth.middleware import check_address
from middlewares.auth.ports import CredentialJudge
from middlewares.auth.records import AppRecord, UserRecord
from middlewares.auth.verdict import SIGN_JOB, WORK_SCOPES, Denial, Grant
from middlewares.exchange import Refusal
from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.control.audit.log import Act, AuditLog
from proxy.control.used_tokens import UsedTokens
from proxy.control.users import Users
from proxy.identity.app_issuers import LEEWAY_SECONDS, AppIssuers, ForeignSubject
from proxy.identity.token_issuer import APP_SCOPES, READ, USER_SCOPES, IssuedToken, TokenIssuer, TokenSubject
from proxy.oidc.forms import Form, chosen_scopes, oauth_refusal, required, subject_refusal

CLIENT_CREDENTIALS = "client_credentials"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a grant type
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a token type
JWT = "urn:ietf:params:oauth:token-type:jwt"
API_KEY = "urn:pymthouse:oauth:token-type:api_key"
SIGNER_SESSION = "urn:pmth:token-type:remote-signer-session"
_KEY_PREFIX = "tgk_"


def token_response(token: IssuedToken) -> dict[str, Any]:
    """Return the members of a successful response (RFC 6749 section 5.1)."""
    return {
        "access_token": token.text,
        "token_type": "Bearer",
        "expires_in": token.expires_in,
        "scope": token.scope,
    }


@dataclass(frozen=True, slots=True)
class Grants:
    """Issues tokens for clients that were authenticated, or for credentials that speak for themselves."""

    issuer: TokenIssuer
    credentials: CredentialJudge
    users: Users
    app_issuers: AppIssuers
    used_tokens: UsedTokens
    audit: AuditLog

    def client_credentials(self, app: AppRecord, form: Form) -> dict[str, Any]:
        """Return the response with a token of the app itself, by default one that may read."""
        scopes = chosen_scopes(form, APP_SCOPES, {READ})
        return token_response(self.issuer.issue(TokenSubject(app.client_id), scopes))

    async def exchange(self, form: Form, app: AppRecord | None, client_id: str | None, address: str) -> dict[str, Any]:
        """Return the response with a token in exchange for another credential.

        An API key speaks for itself; a token of a user has to come from its app, `app`, and so has a JWT of the issuer
        that is registered for the app. `client_id` is the app that the credential must belong to, None if the request
        names none. A token that an app gets for a user is a line of the audit log, as where the builder API issues one;
        what the holder of a key gets for it is none. Raises `Refusal`, `StoreError`.
        """
        _check_shape(form)
        credential, kind = required(form, "subject_token"), required(form, "subject_token_type")
        if kind not in (API_KEY, ACCESS_TOKEN, JWT):
            raise oauth_refusal("invalid_request", f"The subject_token_type must be {API_KEY} or {ACCESS_TOKEN}.")
        is_key = credential.startswith(_KEY_PREFIX)
        if not is_key and (kind == API_KEY or app is None):
            detail = "The subject_token is no API key; a token of a user is exchanged by its app, with its secret."
            raise oauth_refusal("invalid_request", detail)
        if is_key or app is None:
            return _exchanged(await self._exchange_own(form, credential, client_id, address))
        actor = Actor(ActorKind.APP, app.client_id, address=address)
        async with self.audit.act(actor, "token.issue", AuditTarget("token", "", app.client_id)) as act:
            if kind == JWT and self._is_of_its_issuer(credential, app):
                token = await self._exchange_foreign(form, app, credential, actor, act)
            else:
                token = await self._exchange_own(form, credential, client_id, address, act)
            act.detail["scope"] = token.scope
        return _exchanged(token)

    async def _exchange_own(
        self, form: Form, credential: str, client_id: str | None, address: str, act: Act | None = None
    ) -> IssuedToken:
        """Return a token in exchange for a key, or for a token of a user, who is named in `act` then."""
        is_key = credential.startswith(_KEY_PREFIX)
        grant = await self._accepted(credential, address)
        principal = grant.principal
        if client_id not in (None, principal.app) or not (is_key or _is_own_user_token(grant)):
            raise subject_refusal("The subject_token is no token of this issuer for a user of this app.")
        user = await self.users.get(principal.app, principal.user) if principal.user is not None else None
        if act is not None and user is not None:
            act.target = _target_of(user)
        scopes = chosen_scopes(form, USER_SCOPES, {SIGN_JOB} if is_key else grant.scopes & USER_SCOPES)
        if is_key and grant.expires_at is not None:
            _check_left(grant.expires_at)
        subject = TokenSubject(
            principal.app, principal.user, key=principal.key, external_id=user.external_id if user else None
        )
        return self.issuer.issue(subject, scopes, until=grant.expires_at if is_key else None)

    def _is_of_its_issuer(self, credential: str, app: AppRecord) -> bool:
        """Return True if the credential claims to be of the app's own issuer, and not of ours."""
        try:
            named = peek(credential.encode()).claims.get("iss")
        except TokenRefused as refused:
            raise subject_refusal(str(refused)) from None
        return named != self.issuer.url and app.issuer is not None and named == app.issuer.issuer

    async def _exchange_foreign(
        self, form: Form, app: AppRecord, credential: str, actor: Actor, act: Act
    ) -> IssuedToken:
        """Return a token of the user that the app's own issuer names, who is created if need be.

        It lives no longer than the token that it is issued for.
        """
        scopes = chosen_scopes(form, USER_SCOPES, {SIGN_JOB})
        named = await self._verified(app, credential)
        user = await self.users.find(app.client_id, named.external_id) or await self._created(app, named, actor)
        act.target = _target_of(user)
        if user.status != "active":
            raise subject_refusal("The user is suspended.", "access_denied")
        subject = TokenSubject(app.client_id, user.user_id, external_id=user.external_id)
        return self.issuer.issue(subject, scopes, until=named.expires_at)

    async def _created(self, app: AppRecord, named: ForeignSubject, actor: Actor) -> UserRecord:
        """Return the user that the app's issuer names, of any number of simultaneous exchanges one."""
        user, created = await self.users.create(app.client_id, named.external_id, of_issuer=True)
        if created:
            detail = {"created": True, "issuer": app.issuer.issuer if app.issuer else None}
            await self.audit.record(actor, "user.create", _target_of(user), detail=detail)
        return user

    async def _verified(self, app: AppRecord, credential: str) -> ForeignSubject:
        if app.issuer is None:
            raise subject_refusal("The app has no issuer of its own.")
        try:
            named = await self.app_issuers.verify(app.issuer, credential.encode())
        except TokenRefused as refused:
            if refused.status == 503:
                raise _unavailable(str(refused)) from None
            raise subject_refusal(str(refused)) from None
        _check_left(named.expires_at)
        if not app.issuer.single_use:
            return named
        if named.token_id is None:
            raise subject_refusal("The token lacks the claim jti, without which it could be used twice.")
        if not await self.used_tokens.use(app.client_id, named.token_id, named.expires_at + LEEWAY_SECONDS):
            raise subject_refusal("The token was exchanged before.")
        return named

    async def _accepted(self, credential: str, address: str) -> Grant:
        verdict = await self.credentials.judge(credential.encode())
        if isinstance(verdict, Denial):
            raise subject_refusal(verdict.detail)
        try:
            check_address(verdict, address)
        except Refusal as refusal:
            raise subject_refusal(refusal.detail) from None
        return verdict


def _check_left(ends_at: float) -> None:
    """Raise `Refusal` for a credential in its last second: a token that ends with it would be over when it is sent."""
    if ends_at < time.time() + 1:
        raise subject_refusal("The subject_token has expired.")


def _target_of(user: UserRecord) -> AuditTarget:
    return AuditTarget("user", user.user_id, user.app)


def _exchanged(token: IssuedToken) -> dict[str, Any]:
    return {**token_response(token), "issued_token_type": ACCESS_TOKEN}


def _unavailable(detail: str) -> Refusal:
    refusal = oauth_refusal("temporarily_unavailable", detail, 503)
    return Refusal(503, refusal.code, detail, headers=[(b"retry-after", b"1")], members=refusal.members)


def _is_own_user_token(grant: Grant) -> bool:
    """Return True for one of our own for a user's work; another issuer's may name a plan, which would be lost."""
    own = any(ref.kind == "token" for ref in grant.rests_on)
    return own and grant.principal.user is not None and not grant.scopes.isdisjoint(WORK_SCOPES)


def _check_shape(form: Form) -> None:
    """Raise `Refusal` for what an exchange may ask and this one does not do."""
    if form.get("requested_token_type", ACCESS_TOKEN) not in (ACCESS_TOKEN, JWT, SIGNER_SESSION):
        raise oauth_refusal("invalid_request", f"The requested_token_type must be {ACCESS_TOKEN}.")
    if "actor_token" in form:
        raise oauth_refusal("invalid_request", "Delegation (actor_token) is not supported.")
    if "resource" in form or "audience" in form:
        raise oauth_refusal("invalid_target", "Tokens are for this server alone; leave out resource and audience.")
