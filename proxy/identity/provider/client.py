"""Sign-in at a provider, by Authlib: authorization code with PKCE, state and nonce, and the checks of the ID token."""

from __future__ import annotations

import logging
from typing import Any

import httpx2
import structlog
from authlib.integrations.starlette_client import OAuthError, StarletteIntegration, StarletteOAuth2App
from joserfc.errors import JoseError
from starlette.requests import Request

from config.sign_in_provider import SignInProvider
from middlewares.address_limit import AddressLimit
from middlewares.auth.ports import FetchError
from middlewares.exchange import Refusal
from proxy.identity.app_issuers import LEEWAY_SECONDS
from proxy.identity.key_set_fetcher import HttpFetch
from proxy.identity.provider.claims import applicant_of
from proxy.identity.provider.discovery import ProviderMetadata, ProviderUnavailable
from proxy.identity.provider.transport import ProviderTransport
from proxy.identity.sign_up import AdmittedDeveloper, SignUp

_NAME = "provider"
_COUNTED = (401, 403)
_UNUSABLE = (FetchError, httpx2.HTTPError, ProviderUnavailable, ValueError, LookupError, TypeError, AttributeError)
"""What a provider that is away causes, and one whose responses are not what the standards say."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.control")


class ProviderSignIn:
    """Signs developers in whom a provider names. `Request.session` is the state of one sign-in, and of nothing else."""

    def __init__(self, settings: SignInProvider, fetch: HttpFetch, sign_up: SignUp, failures: AddressLimit) -> None:
        """`settings` are complete: there is a provider."""
        logging.getLogger("authlib").setLevel(logging.INFO)  # below it, Authlib logs the verifiers of PKCE
        self._settings = settings
        self._issuer = settings.issuer or ""
        self._transport = ProviderTransport(fetch, self._issuer)
        self._metadata = ProviderMetadata(self._issuer, fetch)
        self._app: Any = None
        self._known: Any = None
        self._sign_up = sign_up
        self._failures = failures

    async def begin(self, request: Request, redirect_uri: str) -> str:
        """Return the address at the provider to which the browser goes. Raises `Refusal` (503)."""
        try:
            response = await (await self._client()).authorize_redirect(request, redirect_uri)
        except _UNUSABLE as error:
            raise _unavailable(error) from None
        return str(response.headers["location"])

    async def finish(self, request: Request, invite: str | None, address: str) -> AdmittedDeveloper:
        """Return the developer with whom the browser comes back.

        Raises `Refusal`: 503 without the provider, else 401 or 403, which are counted by address.
        """
        try:
            claims = await self._claims(request)
            applicant = applicant_of(claims, self._settings, invite=invite, address=address)
            return await self._sign_up.admit(applicant)
        except Refusal as refusal:
            if refusal.status in _COUNTED:
                self._failures.count(address)
            raise

    async def _claims(self, request: Request) -> dict[str, Any]:
        """Return the claims of the ID token that belongs to the code of this request."""
        issuer, client_id = self._issuer, self._settings.client_id
        try:
            client = await self._client()
            named = request.query_params.get("iss")
            if named != issuer and (named is not None or self._known["authorization_response_iss_parameter_supported"]):
                raise _refused("another issuer in the response (RFC 9207)")
            if not (request.query_params.get("code") or request.query_params.get("error")):
                raise _refused("neither a code nor an error")
            token = await client.authorize_access_token(
                request,
                claims_options={
                    "iss": {"essential": True, "value": issuer},
                    "aud": {"essential": True, "value": client_id},
                },
                leeway=LEEWAY_SECONDS,
            )
        except (OAuthError, JoseError) as error:
            raise _refused(f"{type(error).__name__}: {error}") from None
        except _UNUSABLE as error:
            raise _unavailable(error) from None
        if "userinfo" not in token:
            raise _refused("no ID token")
        return dict(token["userinfo"])

    async def _client(self) -> Any:
        """Return Authlib's client for what is known of the provider now."""
        known = await self._metadata.read()
        if known is not self._known:
            self._app = StarletteOAuth2App(
                StarletteIntegration(_NAME),
                _NAME,
                client_id=self._settings.client_id,
                client_secret=self._settings.client_secret.get_secret_value() if self._settings.client_secret else None,
                client_kwargs={
                    "scope": " ".join(self._settings.scopes),
                    "code_challenge_method": "S256",
                    "transport": self._transport,
                },
                **known,
            )
            self._known = known
        return self._app


def _refused(reason: str) -> Refusal:
    """Return the refusal of a response that proves nothing; the operator finds the reason in the log."""
    log.warning("provider_response_refused", reason=reason[:200])
    return Refusal(401, "sign_in_refused", "The provider's response does not belong to this browser; begin anew.")


def _unavailable(error: Exception) -> Refusal:
    log.warning("provider_unavailable", error=f"{type(error).__name__}: {str(error)[:200]}")
    detail = "The provider of identities cannot be reached, or its responses cannot be used. Try again shortly."
    return Refusal(503, "provider_unavailable", detail, headers=[(b"retry-after", b"5")])
