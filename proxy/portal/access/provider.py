"""Signing in at the configured provider of identities (OpenID Connect)."""

from __future__ import annotations

import hmac
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from middlewares.exchange import Refusal
from proxy.control.developers.sign_in_links import SIGN_IN_PATH
from proxy.portal.access.brief_cookie import BriefCookie
from proxy.portal.access.cookies import SessionCookie
from proxy.portal.access.forms import check_same_origin, read_fields
from proxy.portal.access.new_sessions import NewSessions
from proxy.portal.access.sealed import seal, unseal
from proxy.portal.access.visits import address_of
from proxy.portal.pages import Pages, see_other
from proxy.portal.services import PortalServices

if TYPE_CHECKING:
    from proxy.identity.provider.client import ProviderSignIn

PROVIDER = f"{SIGN_IN_PATH}provider"
CALLBACK = f"{PROVIDER}/callback"
_LONGEST_INVITE = 200
"""Most characters of a code; it goes into a cookie, of which browsers keep 4096 bytes and drop a longer one."""
_SECONDS = 600
"""Longest time at the provider."""
_INVITE = "invite"
_PURPOSE = b"tollgate portal sign-in at the provider"


class ProviderPages:
    """Sends browsers to the provider, and takes them back.

    What is needed then (state, nonce, the verifier of PKCE) is in a cookie that only we can make. Its key comes from
    the client secret, which all workers of all machines have.
    """

    def __init__(self, services: PortalServices, pages: Pages, sessions: NewSessions, cookie: SessionCookie) -> None:
        self._services = services
        self._pages = pages
        self._sessions = sessions
        self._session_cookie = cookie
        self._cookie = BriefCookie(cookie, "provider")

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        callback = Route(CALLBACK, self.come_back, methods=["GET"])
        callback.methods = {"GET"}  # no HEAD, which the framework adds: it would use up the code, and sign in nobody
        return (
            Route(PROVIDER, self.go, methods=["GET"]),
            Route(PROVIDER, self.go_with_invite, methods=["POST"]),
            callback,
        )

    async def go(self, request: Request) -> Response:
        """Send the browser to the provider."""
        url, session = await self._begin(request)
        response = see_other(url)
        self._keep(response, session)
        return response

    async def go_with_invite(self, request: Request) -> Response:
        """Keep the code of an invitation, and show the way to the provider.

        A form may lead to no other site (`form-action`), not even by a redirection; so this page has a link.
        """
        check_same_origin(request, self._services.origin)
        invite = (await read_fields(request)).get(_INVITE, "")
        if len(invite) > _LONGEST_INVITE:
            raise Refusal(400, "invalid_parameter", f"Code: expected at most {_LONGEST_INVITE} characters.")
        url, session = await self._begin(request)
        label = self._services.settings.portal.oidc.label
        response = self._pages.show("sign_in_provider.html", None, url=url, label=label)
        self._keep(response, {**session, _INVITE: invite or None})
        return response

    async def come_back(self, request: Request) -> Response:
        """Sign in whom the provider names, in the browser that was sent there."""
        provider = self._provider()
        session = unseal(self._cookie.read(request), self._key(), time.time()) or {}
        invite = session.pop(_INVITE, None)
        request.scope["session"] = session
        admitting = provider.finish(request, invite, address_of(request))
        response = await self._sessions.sign_in(request, "provider", admitting)
        self._cookie.clear(response)
        return response

    async def _begin(self, request: Request) -> tuple[str, dict[str, Any]]:
        """Return the address at the provider, and what is to be kept until the browser is back."""
        provider = self._provider()
        session: dict[str, Any] = {}
        request.scope["session"] = session
        return await provider.begin(request, f"{self._services.origin}{CALLBACK}"), session

    def _keep(self, response: Response, session: dict[str, Any]) -> None:
        self._cookie.set(response, seal(session, self._key(), int(time.time()) + _SECONDS), _SECONDS)

    def _provider(self) -> ProviderSignIn:
        if self._services.provider is None:
            raise Refusal(404, "not_found", "Nobody signs in at a provider here (the setting portal.oidc is empty).")
        self._session_cookie.check_allowed()
        return self._services.provider

    def _key(self) -> bytes:
        secret = self._services.settings.portal.oidc.client_secret
        assert secret is not None  # noqa: S101 - there is a provider
        return hmac.digest(secret.get_secret_value().encode(), _PURPOSE, "sha256")
