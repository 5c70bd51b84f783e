"""Signing in with a wallet: the one of the browser by a script, any other by copying a message and its signature."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from middlewares.exchange import Refusal
from proxy.control.developers.sign_in_links import SIGN_IN_PATH
from proxy.identity.sign_up import AdmittedDeveloper
from proxy.identity.wallet_sign_in import SignInAttempt
from proxy.portal.access.brief_cookie import BriefCookie
from proxy.portal.access.cookies import SessionCookie
from proxy.portal.access.forms import Fields, check_same_origin, read_fields
from proxy.portal.access.new_sessions import NewSessions
from proxy.portal.access.visits import address_of, client_of
from proxy.portal.pages import Pages
from proxy.portal.services import PortalServices

WALLET = f"{SIGN_IN_PATH}wallet"


class WalletPages:
    """An address in, a message to sign out, its signature in: judged by the rules of the API.

    The nonce of the message is in a cookie as well. Without it, somebody could have another browser send a message that
    they have signed themselves, and its owner would work in their account.
    """

    def __init__(self, services: PortalServices, pages: Pages, sessions: NewSessions, cookie: SessionCookie) -> None:
        self._services = services
        self._pages = pages
        self._sessions = sessions
        self._session_cookie = cookie
        self._cookie = BriefCookie(cookie, "wallet")

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        return (
            Route(WALLET, self.ask, methods=["GET"]),
            Route(f"{WALLET}/message", self.message, methods=["POST"]),
            Route(WALLET, self.sign_in, methods=["POST"]),
        )

    async def ask(self, _: Request) -> Response:
        """Ask for an address."""
        self._check()
        return self._pages.show("sign_in_wallet.html", None)

    async def message(self, request: Request) -> Response:
        """Show the message to sign, with a nonce for this browser."""
        fields = await self._fields(request)
        text, nonce = await self._services.wallet_sign_in.message(_field(fields, "address"), address_of(request))
        invites = self._services.settings.sign_up.policy != "closed"
        response = self._pages.show("sign_in_message.html", None, message=text, invites=invites)
        self._cookie.set(response, nonce.text, int((nonce.expires_at - nonce.issued_at).total_seconds()))
        return response

    async def sign_in(self, request: Request) -> Response:
        """Sign in by a message and its signature."""
        fields = await self._fields(request)
        attempt = SignInAttempt(
            message=_field(fields, "message").replace("\r\n", "\n"),  # browsers send lines of a field so
            signature=_field(fields, "signature"),
            invite=fields.get("invite") or None,
            address=address_of(request),
            client=client_of(request),
            nonce=self._cookie.read(request),
        )
        response = await self._sessions.sign_in(request, "wallet", self._admitted(attempt))
        self._cookie.clear(response)
        return response

    async def _admitted(self, attempt: SignInAttempt) -> AdmittedDeveloper:
        admitted, _ = await self._services.wallet_sign_in.admit(attempt)
        return admitted

    async def _fields(self, request: Request) -> Fields:
        check_same_origin(request, self._services.origin)
        self._check()
        return await read_fields(request)

    def _check(self) -> None:
        self._services.wallet_sign_in.check_enabled()
        self._session_cookie.check_allowed()


def _field(fields: Fields, name: str) -> str:
    if not fields.get(name):
        raise Refusal(400, "invalid_parameter", f"The field {name} is empty.")
    return fields[name]
