"""The grants of the token endpoint: client credentials (RFC 6749 section 4.4) and token exchange (RFC 8693)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from middlewares.auth.middleware import check_address
from middlewares.auth.ports import CredentialJudge
from middlewares.auth.records import AppRecord
from middlewares.auth.verdict import SIGN_JOB, WORK_SCOPES, Denial, Grant
from middlewares.exchange import Refusal
from proxy.control.users import Users
from proxy.identity.token_issuer import APP_SCOPES, READ, USER_SCOPES, IssuedToken, TokenIssuer, TokenSubject
from proxy.oidc.forms import Form, chosen_scopes, oauth_refusal, required

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

    def client_credentials(self, app: AppRecord, form: Form) -> dict[str, Any]:
        """Return the response with a token of the app itself, by default one that may read."""
        scopes = chosen_scopes(form, APP_SCOPES, {READ})
        return token_response(self.issuer.issue(TokenSubject(app.client_id), scopes))

    async def exchange(self, form: Form, app: AppRecord | None, client_id: str | None, address: str) -> dict[str, Any]:
        """Return the response with a token in exchange for another credential.

        An API key speaks for itself; a token of a user has to come from its app, `app`. `client_id` is the app that the
        credential must belong to, None if the request names none. Raises `Refusal`, `StoreError`.
        """
        _check_shape(form)
        credential, kind = required(form, "subject_token"), required(form, "subject_token_type")
        if kind not in (API_KEY, ACCESS_TOKEN, JWT):
            raise oauth_refusal("invalid_request", f"The subject_token_type must be {API_KEY} or {ACCESS_TOKEN}.")
        is_key = credential.startswith(_KEY_PREFIX)
        if not is_key and (kind == API_KEY or app is None):
            detail = "The subject_token is no API key; a token of a user is exchanged by its app, with its secret."
            raise oauth_refusal("invalid_request", detail)
        grant = await self._accepted(credential, address)
        principal = grant.principal
        if client_id not in (None, principal.app) or not (is_key or _is_own_user_token(grant)):
            raise oauth_refusal("invalid_grant", "The subject_token is no token of this issuer for a user of this app.")
        scopes = chosen_scopes(form, USER_SCOPES, {SIGN_JOB} if is_key else grant.scopes & USER_SCOPES)
        user = await self.users.get(principal.app, principal.user) if principal.user is not None else None
        subject = TokenSubject(
            principal.app, principal.user, key=principal.key, external_id=user.external_id if user else None
        )
        return {**token_response(self.issuer.issue(subject, scopes)), "issued_token_type": ACCESS_TOKEN}

    async def _accepted(self, credential: str, address: str) -> Grant:
        verdict = await self.credentials.judge(credential.encode())
        if isinstance(verdict, Denial):
            raise oauth_refusal("invalid_grant", verdict.detail)
        try:
            check_address(verdict, address)
        except Refusal as refusal:
            raise oauth_refusal("invalid_grant", refusal.detail) from None
        return verdict


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
