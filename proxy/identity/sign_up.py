"""Who may become a developer: what happens when a wallet whose owner has proven itself is not known, or not active."""

from __future__ import annotations

from dataclasses import dataclass, field

from config.sign_in import SignUpSettings
from middlewares.exchange import Refusal
from proxy.control.apps import Apps
from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.control.audit.log import AuditLog
from proxy.control.developers.developers import Developers
from proxy.control.developers.invites import Invites
from proxy.control.developers.memberships import Memberships
from proxy.control.developers.records import DeveloperRecord, InviteRecord, MemberRole


class DeveloperRefused(Refusal):
    """The owner of a wallet has proven to be this developer, who may not sign in."""

    def __init__(self, developer: DeveloperRecord, code: str, detail: str) -> None:
        super().__init__(403, code, detail)
        self.developer = developer


@dataclass(frozen=True, slots=True)
class CreatedApp:
    """An app that was made for a developer, with its secret, which is not stored."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AdmittedDeveloper:
    """A developer that may sign in, and what came with it."""

    developer: DeveloperRecord
    app: CreatedApp | None = None
    """The app that open sign-up has made for it just now."""


@dataclass(frozen=True, slots=True)
class SignUp:
    """Finds the developer of a wallet, or makes one where the policy lets it; what it changes is in the audit log."""

    settings: SignUpSettings
    developers: Developers
    memberships: Memberships
    invites: Invites
    apps: Apps
    audit: AuditLog

    async def admit(self, wallet: str, code: str | None, address: str) -> AdmittedDeveloper:
        """Return the developer of a wallet, whose owner asks from `address`. `code` is that of an invitation.

        Raises `Refusal` (403). An invitation is used up only by a sign-in that succeeds.
        """
        invite = None if code is None else await self._invite(code)
        developer = await self.developers.find(wallet)
        if developer is not None and developer.status == "suspended":
            raise DeveloperRefused(developer, "developer_suspended", "The developer of this wallet is suspended.")
        if invite is not None:
            return AdmittedDeveloper(await self._join(wallet, developer, invite, address))
        if developer is None:
            return await self._sign_up(wallet, address)
        if developer.status == "pending":
            raise _pending(developer)
        return AdmittedDeveloper(developer)

    async def _invite(self, code: str) -> InviteRecord:
        invite = None if self.settings.policy == "closed" else await self.invites.find(code)
        if invite is None:
            raise _no_invite("The invitation is unknown, used or over.")
        return invite

    async def _join(
        self, wallet: str, developer: DeveloperRecord | None, invite: InviteRecord, address: str
    ) -> DeveloperRecord:
        """Make the owner of a wallet a member of the app of an invitation, which is an operator's approval, too."""
        if developer is not None and await self.memberships.get(invite.app, developer.developer_id) is not None:
            raise _no_invite("The developer is a member of that app already; sign in without the invitation.")
        if not await self.invites.take(invite.invite_id):
            raise _no_invite("The invitation is unknown, used or over.")
        known, created = await self.developers.create(wallet)
        if known.status == "pending":
            known = await self.developers.activate(known.developer_id)
        if created:
            await self._signed_up(known, address)
        await self._become_member(known, invite.app, invite.role, address, invite=invite.invite_id)
        return known

    async def _sign_up(self, wallet: str, address: str) -> AdmittedDeveloper:
        policy, plan = self.settings.policy, self.settings.plan
        if policy == "closed":
            raise Refusal(403, "sign_up_closed", "No developer has this wallet; the operator adds developers.")
        if policy == "invite":
            raise Refusal(403, "sign_up_closed", "No developer has this wallet; an invitation is needed.")
        if not await self.developers.count_sign_up(self.settings.per_day):
            raise Refusal(403, "sign_up_full", "Too many wallets have signed up today; try again tomorrow.")
        developer, created = await self.developers.create(wallet, status="pending" if policy == "approve" else "active")
        if created:
            await self._signed_up(developer, address)
        if developer.status == "pending":
            raise _pending(developer)
        if not created or plan is None:  # the same wallet signed up at the same moment, and has its app from there
            return AdmittedDeveloper(developer)
        app, secret = await self.apps.create(f"{wallet[:6]}...{wallet[-4:]}", plan)
        actor, target = _actor(developer, address), AuditTarget("app", app.client_id, app.client_id)
        await self.audit.record(actor, "app.create", target, detail={"plan": plan})
        await self._become_member(developer, app.client_id, "owner", address)
        return AdmittedDeveloper(developer, CreatedApp(app.client_id, secret))

    async def _signed_up(self, developer: DeveloperRecord, address: str) -> None:
        target = AuditTarget("developer", developer.developer_id)
        detail = {"policy": self.settings.policy, "wallet": developer.wallet}
        await self.audit.record(_actor(developer, address), "developer.sign_up", target, detail=detail)

    async def _become_member(
        self, developer: DeveloperRecord, app: str, role: MemberRole, address: str, *, invite: str | None = None
    ) -> None:
        await self.memberships.put(app, developer.developer_id, role)
        target, detail = AuditTarget("member", developer.developer_id, app), {"role": role, "invite": invite}
        await self.audit.record(_actor(developer, address), "member.add", target, detail=detail)


def _actor(developer: DeveloperRecord, address: str) -> Actor:
    return Actor(ActorKind.DEVELOPER, developer.developer_id, address=address)


def _pending(developer: DeveloperRecord) -> DeveloperRefused:
    return DeveloperRefused(developer, "developer_pending", "The sign-up waits for the approval of an operator.")


def _no_invite(detail: str) -> Refusal:
    return Refusal(403, "invite_invalid", detail)
