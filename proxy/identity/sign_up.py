"""Who may become a developer: what happens when somebody with a proven identity is not known, or not active."""

from __future__ import annotations

from dataclasses import dataclass, field

from config.sign_in import SignUpSettings
from middlewares.exchange import Refusal
from proxy.control.apps import Apps, new_client_id
from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.control.audit.log import AuditLog
from proxy.control.developers.developers import Developers, name_of_identity
from proxy.control.developers.invites import Invites
from proxy.control.developers.memberships import Memberships
from proxy.control.developers.records import DeveloperRecord, ForeignIdentity, Identity, InviteRecord, MemberRole

_LONGEST_APP_NAME = 100


class DeveloperRefused(Refusal):
    """Somebody has proven to be this developer, who may not sign in."""

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
class Applicant:
    """Somebody who has proven an identity, and asks to come in."""

    identity: Identity
    invite: str | None = field(repr=False)
    """Code of an invitation."""
    address: str
    """Network address."""
    email: str | None = None
    """What the provider says that it has verified."""
    known_only: bool = False
    """True: nobody signs up by this kind of identity, whatever the policy is."""

    @property
    def kind(self) -> str:
        """Return what the identity is, for people."""
        return "this wallet" if isinstance(self.identity, str) else "this identity"

    @property
    def app_name(self) -> str:
        """Return the name of the app that open sign-up makes."""
        if isinstance(self.identity, str):
            return f"{self.identity[:6]}...{self.identity[-4:]}"
        return (self.email or self.identity.subject)[:_LONGEST_APP_NAME]


@dataclass(frozen=True, slots=True)
class SignUp:
    """Finds the developer of an identity, or makes one where the policy lets it; the audit log has what it changes."""

    settings: SignUpSettings
    developers: Developers
    memberships: Memberships
    invites: Invites
    apps: Apps
    audit: AuditLog

    async def admit(self, applicant: Applicant) -> AdmittedDeveloper:
        """Return the developer that an applicant is. Raises `Refusal` (403).

        An invitation is used up only by a sign-in that succeeds.
        """
        invite = None if applicant.invite is None else await self._invite(applicant.invite)
        developer = await self._find(applicant)
        if developer is not None and developer.status == "suspended":
            detail = f"The developer of {applicant.kind} is suspended."
            raise DeveloperRefused(developer, "developer_suspended", detail)
        if developer is None and applicant.known_only:
            raise _closed(applicant, "the operator adds developers")
        if invite is not None:
            return AdmittedDeveloper(await self._join(applicant, developer, invite))
        if developer is None:
            return await self._sign_up(applicant)
        if developer.status == "pending":
            raise _pending(developer)
        return await self._with_due_app(applicant, developer)

    async def _find(self, applicant: Applicant) -> DeveloperRecord | None:
        """Return the developer of an identity, or the one that was added by its e-mail address and is nobody yet."""
        identity, email = applicant.identity, applicant.email
        found = await self.developers.find(identity)
        if found is not None or email is None or not isinstance(identity, ForeignIdentity):
            return found
        return await self.developers.claim(email, identity)

    async def _invite(self, code: str) -> InviteRecord:
        invite = None if self.settings.policy == "closed" else await self.invites.find(code)
        if invite is None:
            raise _no_invite("The invitation is unknown, used or over.")
        return invite

    async def _join(
        self, applicant: Applicant, developer: DeveloperRecord | None, invite: InviteRecord
    ) -> DeveloperRecord:
        """Make an applicant a member of the app of an invitation, which is an operator's approval, too."""
        me = name_of_identity(applicant.identity)
        is_member = developer and await self.memberships.get(invite.app, developer.developer_id)
        if is_member and invite.claimed_by != me:
            raise _no_invite("The developer is a member of that app already; sign in without the invitation.")
        if not await self.invites.claim(invite.invite_id, me):
            raise _no_invite("The invitation is unknown, used or over.")
        known, created = await self._known(applicant, developer)
        if known.status == "pending":
            known = await self.developers.activate(known.developer_id)
        if created:
            await self._signed_up(known, applicant.address)
        await self._become_member(known, invite.app, invite.role, applicant.address, invite=invite.invite_id)
        await self.invites.take(invite.invite_id)
        return known

    async def _known(self, applicant: Applicant, found: DeveloperRecord | None) -> tuple[DeveloperRecord, bool]:
        return (found, False) if found else await self.developers.create(applicant.identity, email=applicant.email)

    async def _sign_up(self, applicant: Applicant) -> AdmittedDeveloper:
        policy, plan = self.settings.policy, self.settings.plan
        if policy == "closed":
            raise _closed(applicant, "the operator adds developers")
        if policy == "invite":
            raise _closed(applicant, "an invitation is needed")
        if not await self.developers.count_sign_up(self.settings.per_day):
            raise Refusal(403, "sign_up_full", "Too many developers have signed up today; try again tomorrow.")
        developer, created = await self.developers.create(
            applicant.identity,
            status="pending" if policy == "approve" else "active",
            email=applicant.email,
            due_app=None if policy == "approve" or plan is None else new_client_id(),
        )
        if created:
            await self._signed_up(developer, applicant.address)
        if developer.status == "pending":
            raise _pending(developer)
        return await self._with_due_app(applicant, developer)

    async def _with_due_app(self, applicant: Applicant, developer: DeveloperRecord) -> AdmittedDeveloper:
        """Make the app that open sign-up owes a developer: now, or when a sign-up was cut off before it had it.

        Its id is chosen before, so that sign-ins at the same moment make one app; the secret is for one of them.
        """
        client_id, plan = developer.due_app, self.settings.plan
        if client_id is None or plan is None:
            return AdmittedDeveloper(developer)
        secret = await self.apps.create_due(client_id, applicant.app_name, plan)
        if secret is not None:
            actor, target = _actor(developer, applicant.address), AuditTarget("app", client_id, client_id)
            await self.audit.record(actor, "app.create", target, detail={"plan": plan})
        await self._become_member(developer, client_id, "owner", applicant.address)
        developer = await self.developers.has_app(developer.developer_id)
        return AdmittedDeveloper(developer, None if secret is None else CreatedApp(client_id, secret))

    async def _signed_up(self, developer: DeveloperRecord, address: str) -> None:
        target = AuditTarget("developer", developer.developer_id)
        issuer = developer.identity.issuer if developer.identity else None
        detail = {"policy": self.settings.policy, "wallet": developer.wallet, "issuer": issuer}
        await self.audit.record(_actor(developer, address), "developer.sign_up", target, detail=detail)

    async def _become_member(
        self, developer: DeveloperRecord, app: str, role: MemberRole, address: str, *, invite: str | None = None
    ) -> None:
        if await self.memberships.add(app, developer.developer_id, role) is None:
            return  # by a sign-in that was cut off behind it, or at the same moment
        target, detail = AuditTarget("member", developer.developer_id, app), {"role": role, "invite": invite}
        await self.audit.record(_actor(developer, address), "member.add", target, detail=detail)


def _actor(developer: DeveloperRecord, address: str) -> Actor:
    return Actor(ActorKind.DEVELOPER, developer.developer_id, address=address)


def _pending(developer: DeveloperRecord) -> DeveloperRefused:
    return DeveloperRefused(developer, "developer_pending", "The sign-up waits for the approval of an operator.")


def _closed(applicant: Applicant, way: str) -> Refusal:
    return Refusal(403, "sign_up_closed", f"No developer has {applicant.kind}; {way}.")


def _no_invite(detail: str) -> Refusal:
    return Refusal(403, "invite_invalid", detail)
