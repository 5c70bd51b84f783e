"""Who may become a developer: what happens when a wallet whose owner has proven itself is not known, or not active."""

from __future__ import annotations

from dataclasses import dataclass, field

from config.sign_in import SignUpSettings
from middlewares.exchange import Refusal
from proxy.control.apps import Apps
from proxy.control.developers.developers import Developers
from proxy.control.developers.invites import Invites
from proxy.control.developers.memberships import Memberships
from proxy.control.developers.records import DeveloperRecord, InviteRecord


@dataclass(frozen=True, slots=True)
class CreatedApp:
    """An app that was made for a developer, with its secret, which is not stored."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AdmittedDeveloper:
    """A developer that may sign in, and what came with it."""

    developer: DeveloperRecord
    signed_up: bool = False
    app: CreatedApp | None = None
    invite: InviteRecord | None = None


@dataclass(frozen=True, slots=True)
class SignUp:
    """Finds the developer of a wallet, or makes one where the policy lets it."""

    settings: SignUpSettings
    developers: Developers
    memberships: Memberships
    invites: Invites
    apps: Apps

    async def admit(self, wallet: str, code: str | None) -> AdmittedDeveloper:
        """Return the developer of a wallet, whose owner asks. `code` is that of an invitation.

        Raises `Refusal` (403, 429). An invitation is used up only by a sign-in that succeeds.
        """
        invite = None if code is None else await self._invite(code)
        developer = await self.developers.find(wallet)
        if developer is not None and developer.status == "suspended":
            raise Refusal(403, "developer_suspended", "The developer of this wallet is suspended.")
        if invite is not None:
            return await self._join(wallet, developer, invite)
        if developer is None:
            return await self._sign_up(wallet)
        if developer.status == "pending":
            raise _pending()
        return AdmittedDeveloper(developer)

    async def _invite(self, code: str) -> InviteRecord:
        invite = None if self.settings.policy == "closed" else await self.invites.find(code)
        if invite is None:
            raise _no_invite("The invitation is unknown, used or over.")
        return invite

    async def _join(self, wallet: str, developer: DeveloperRecord | None, invite: InviteRecord) -> AdmittedDeveloper:
        """Make the owner of a wallet a member of the app of an invitation, which is an operator's approval, too."""
        if developer is not None and await self.memberships.get(invite.app, developer.developer_id) is not None:
            raise _no_invite("The developer is a member of that app already; sign in without the invitation.")
        if not await self.invites.take(invite.invite_id):
            raise _no_invite("The invitation is unknown, used or over.")
        known, created = await self.developers.create(wallet)
        if known.status == "pending":
            known = await self.developers.activate(known.developer_id)
        await self.memberships.put(invite.app, known.developer_id, invite.role)
        return AdmittedDeveloper(known, signed_up=created, invite=invite)

    async def _sign_up(self, wallet: str) -> AdmittedDeveloper:
        policy, plan = self.settings.policy, self.settings.plan
        if policy == "closed":
            raise Refusal(403, "sign_up_closed", "No developer has this wallet; the operator adds developers.")
        if policy == "invite":
            raise Refusal(403, "sign_up_closed", "No developer has this wallet; an invitation is needed.")
        if not await self.developers.count_sign_up(self.settings.per_day):
            raise Refusal(403, "sign_up_full", "Too many wallets have signed up today; try again tomorrow.")
        if policy == "approve":
            await self.developers.create(wallet, status="pending")
            raise _pending()
        developer, created = await self.developers.create(wallet)
        if not created or plan is None:  # the same wallet signed up at the same moment
            return AdmittedDeveloper(developer)
        app, secret = await self.apps.create(f"{wallet[:6]}...{wallet[-4:]}", plan)
        await self.memberships.put(app.client_id, developer.developer_id, "owner")
        return AdmittedDeveloper(developer, signed_up=True, app=CreatedApp(app.client_id, secret))


def _pending() -> Refusal:
    return Refusal(403, "developer_pending", "The sign-up is noted and waits for the operator's approval.")


def _no_invite(detail: str) -> Refusal:
    return Refusal(403, "invite_invalid", detail)
