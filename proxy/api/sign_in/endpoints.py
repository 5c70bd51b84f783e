"""Endpoints of sign-in and sessions; what is decided is decided in `proxy.identity`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from middlewares.exchange import Exchange, Refusal
from proxy.api.audit.route import CurrentAct
from proxy.api.caller import Caller, DeveloperCaller, OpenToAll
from proxy.api.services import DeveloperServices
from proxy.api.sign_in.models import (
    AppRole,
    DeveloperView,
    EndedSessions,
    NonceView,
    SessionPage,
    SessionView,
    SignedInView,
    WalletSignInRequest,
)
from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.control.audit.log import Act
from proxy.control.developers.records import DeveloperRecord
from proxy.identity.developer_credentials import SignedInDeveloper
from proxy.identity.sign_up import DeveloperRefused
from proxy.identity.siwe.address import shown
from proxy.identity.wallet_sign_in import SignInAttempt

_LONGEST_CLIENT = 200

Anyone = Annotated[None, Depends(OpenToAll())]
Developer = Annotated[Caller, Depends(DeveloperCaller())]


class SignInEndpoints:
    """The routes below `/api/v1/auth`."""

    def __init__(self, services: DeveloperServices) -> None:
        self._services = services

    async def nonce(self, request: Request, anyone: Anyone) -> NonceView:
        """Issue a nonce, and say what a message has to say. It is good once, and soon."""
        sign_in = self._services.wallet_sign_in
        return NonceView.of(await sign_in.nonce(_address(request)), sign_in.terms)

    async def wallet(
        self, request: Request, anyone: Anyone, act: CurrentAct, body: WalletSignInRequest
    ) -> SignedInView:
        """Sign in by a signed message: a session and a token for the developer who owns the wallet.

        Contract wallets (EIP-1271) are not supported: their signatures are checked by a call to a chain, not by a key.
        """
        attempt = SignInAttempt(
            message=body.message,
            signature=body.signature,
            invite=body.invite,
            address=_address(request),
            client=_client(request),
        )
        try:
            signed_in = await self._services.wallet_sign_in.sign_in(attempt)
        except DeveloperRefused as refused:
            _name_in(act, refused.developer, attempt.address)
            raise
        _name_in(act, signed_in.admitted.developer, attempt.address)
        act.detail["session"] = signed_in.session.session_id
        developer = await self._view(signed_in.admitted.developer, signed_in.wallet)
        return SignedInView.of(signed_in, developer)

    async def me(self, caller: Developer) -> DeveloperView:
        """Return the developer that is signed in, and its apps."""
        developer = _signed_in(caller).developer
        return await self._view(developer, developer.wallet and shown(developer.wallet))

    async def log_out(self, caller: Developer, act: CurrentAct) -> EndedSessions:
        """End the session that this request belongs to, and the tokens that were issued in it."""
        signed_in = _signed_in(caller)
        return await self._end(signed_in, signed_in.session.session_id, act)

    async def sessions(self, caller: Developer) -> SessionPage:
        """Return the sessions of the developer."""
        signed_in = _signed_in(caller)
        found = await self._services.sessions.list(signed_in.developer)
        return SessionPage(sessions=[SessionView.of(each, signed_in.session.session_id) for each in found])

    async def end_session(self, session_id: str, caller: Developer, act: CurrentAct) -> EndedSessions:
        """End a session of the developer."""
        return await self._end(_signed_in(caller), session_id, act)

    async def end_sessions(self, caller: Developer, act: CurrentAct) -> EndedSessions:
        """End all sessions of the developer, this one included."""
        developer = _signed_in(caller).developer
        found = await self._services.sessions.list(developer)
        act.target = AuditTarget("developer", developer.developer_id)
        act.detail["sessions"] = len(found)
        await self._services.developers.end_sessions(developer.developer_id)
        return EndedSessions(ended=[each.session_id for each in found])

    async def _end(self, signed_in: SignedInDeveloper, session_id: str, act: Act) -> EndedSessions:
        if not await self._services.sessions.end(signed_in.developer.developer_id, session_id):
            raise Refusal(404, "unknown_id", "The developer has no such session.")
        act.target = AuditTarget("session", session_id)
        return EndedSessions(ended=[session_id])

    async def _view(self, developer: DeveloperRecord, address: str | None) -> DeveloperView:
        members = await self._services.memberships.of_developer(developer.developer_id)
        apps = {app.client_id: app for app in await self._services.apps.several(each.app for each in members)}
        roles = [AppRole.of(each, apps[each.app]) for each in members if each.app in apps]
        return DeveloperView.of(developer, address, roles)


def _name_in(act: Act, developer: DeveloperRecord, address: str) -> None:
    """Say in the audit log who it was that proved to own the wallet."""
    act.actor = Actor(ActorKind.DEVELOPER, developer.developer_id, address=address)
    act.target = AuditTarget("developer", developer.developer_id)


def _address(request: Request) -> str:
    exchange: Exchange = request.scope["tollgate.exchange"]
    return exchange.client_address


def _client(request: Request) -> str:
    """Return what the client calls itself, as much of it as can be shown."""
    text = request.headers.get("user-agent", "")[:_LONGEST_CLIENT]
    return "".join(each if each.isprintable() else "?" for each in text)


def _signed_in(caller: Caller) -> SignedInDeveloper:
    if caller.signed_in is None:
        raise Refusal(403, "insufficient_scope", "The credential is not that of a developer who signed in.")
    return caller.signed_in
