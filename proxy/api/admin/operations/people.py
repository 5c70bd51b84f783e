"""Operations on operators, developers, members and invitations."""

from __future__ import annotations

from datetime import timedelta

from config.settings import Settings
from middlewares.auth.keys import pepper_of
from middlewares.auth.records import Role
from proxy.api.admin.documents import OperatorDocument, OperatorKey, OperatorList
from proxy.api.admin.operations.acts import Acts, settle_target
from proxy.api.admin.operations.errors import ActRefused, invalid
from proxy.api.admin.operations.ports import (
    DeveloperAct,
    DeveloperOperations,
    InviteOperations,
    MemberOperations,
    OperatorOperations,
)
from proxy.api.admin.operations.resources import Resources
from proxy.api.admin.people_documents import (
    DeveloperDocument,
    DeveloperPage,
    EndedInvite,
    EndedMember,
    FoundDeveloper,
    InviteCode,
    InviteDocument,
    InviteList,
    MemberDocument,
    MemberList,
    NewDeveloper,
    NewInvite,
    OperatorLink,
    PortalLink,
)
from proxy.control.developers.developers import Developers
from proxy.control.developers.invites import Invites
from proxy.control.developers.memberships import Memberships
from proxy.control.developers.records import DeveloperRecord, ForeignIdentity, MemberRole
from proxy.control.developers.sign_in_links import SIGN_IN_PATH, InactiveDeveloper, SignInLinks
from proxy.control.operators.sessions import OPERATOR_SIGN_IN_PATH, OperatorLinks, RevokedOperator


class DirectOperators(OperatorOperations):
    """Operators, on an open store."""

    def __init__(self, resources: Resources, acts: Acts) -> None:
        self._operators = resources.operators
        self._links = OperatorLinks(resources.store.redis, pepper_of(resources.settings.auth))
        self._settings = resources.settings
        self._acts = acts

    async def create(self, name: str, role: Role) -> OperatorKey:
        """Create an operator with a key."""
        async with self._acts.act("operator.create", "operator") as act:
            record, text = await self._operators.create(name, role)
            settle_target(act, record.operator_id)
            act.detail |= {"role": role}
        return OperatorKey(**OperatorDocument.of(record).model_dump(), key=text)

    async def list(self) -> OperatorList:
        """Return all operators."""
        return OperatorList(items=[OperatorDocument.of(each) for each in await self._operators.list()])

    async def revoke(self, operator_id: str) -> OperatorDocument:
        """End an operator's key, and its sessions in the portal, for good and at once."""
        async with self._acts.act("operator.revoke", "operator", operator_id):
            return OperatorDocument.of(await self._operators.revoke(operator_id))

    async def portal_link(self, operator_id: str) -> OperatorLink:
        """Create a link by which an operator signs in to the portal, once."""
        lifetime = timedelta(seconds=self._settings.portal.link_seconds)
        async with self._acts.act("operator.portal_link", "operator", operator_id) as act:
            try:
                link, secret = await self._links.create(operator_id, lifetime)
            except RevokedOperator as error:
                raise ActRefused(error.audit_code, str(error)) from None
            act.detail |= {"link": link.link_id}
        return OperatorLink(
            operator_id=operator_id,
            link_id=link.link_id,
            url=f"{_public_origin(self._settings)}{OPERATOR_SIGN_IN_PATH}{secret}",
            expires_at=link.expires_at,
        )


class DirectDevelopers(DeveloperOperations):
    """Developers, on an open store."""

    def __init__(self, resources: Resources, acts: Acts) -> None:
        self._developers = Developers(resources.store.redis)
        self._links = SignInLinks(resources.store.redis, pepper_of(resources.settings.auth))
        self._settings = resources.settings
        self._acts = acts

    async def add(self, new: NewDeveloper) -> FoundDeveloper:
        """Let somebody sign in, or return the developer that has this wallet, subject or address already."""
        async with self._acts.act("developer.add", "developer") as act:
            record, created = await self._create(new)
            settle_target(act, record.developer_id)
            act.detail |= {"wallet": record.wallet, "created": created}
        return FoundDeveloper(**DeveloperDocument.of(record).model_dump(), created=created)

    async def _create(self, new: NewDeveloper) -> tuple[DeveloperRecord, bool]:
        if new.wallet is not None:
            return await self._developers.create(new.wallet, email=new.email)
        if new.subject is not None:
            issuer = self._settings.portal.oidc.issuer
            if issuer is None:
                raise invalid("portal.oidc.issuer is not set, so that no subject can sign in")
            return await self._developers.create(ForeignIdentity(issuer, new.subject), email=new.email)
        return await self._developers.create_by_email(new.email or "")

    async def page(self, after: str, limit: int) -> DeveloperPage:
        """Return developers by developer id."""
        found, following = await self._developers.page(after, limit)
        return DeveloperPage(items=[DeveloperDocument.of(each) for each in found], next=following)

    async def set_status(self, developer_id: str, act: DeveloperAct) -> DeveloperDocument:
        """Approve a developer, suspend it, which ends its sessions and tokens for good, or let it sign in again."""
        change = self._developers.suspend if act == "suspend" else self._developers.activate
        async with self._acts.act(f"developer.{act}", "developer", developer_id):
            return DeveloperDocument.of(await change(developer_id))

    async def portal_link(self, developer_id: str) -> PortalLink:
        """Create a link by which a developer signs in to the portal, once."""
        lifetime = timedelta(seconds=self._settings.portal.link_seconds)
        async with self._acts.act("developer.portal_link", "developer", developer_id) as act:
            try:
                link, secret = await self._links.create(developer_id, lifetime)
            except InactiveDeveloper as error:
                raise ActRefused(error.audit_code, str(error)) from None
            act.detail |= {"link": link.link_id}
        return PortalLink(
            developer_id=developer_id,
            link_id=link.link_id,
            url=f"{_public_origin(self._settings)}{SIGN_IN_PATH}{secret}",
            expires_at=link.expires_at,
        )


class DirectMembers(MemberOperations):
    """Members of apps, on an open store."""

    def __init__(self, resources: Resources, acts: Acts) -> None:
        self._memberships = Memberships(resources.store.redis)
        self._acts = acts

    async def put(self, client_id: str, developer_id: str, role: MemberRole) -> MemberDocument:
        """Give a developer this role in an app, in place of another one."""
        async with self._acts.act("member.add", "member", developer_id, client_id) as act:
            act.detail |= {"role": role}
            return MemberDocument.of(await self._memberships.put(client_id, developer_id, role))

    async def list(self, client_id: str) -> MemberList:
        """Return the members of an app, oldest first."""
        return MemberList(items=[MemberDocument.of(each) for each in await self._memberships.of_app(client_id)])

    async def remove(self, client_id: str, developer_id: str) -> EndedMember:
        """End a membership at once."""
        async with self._acts.act("member.remove", "member", developer_id, client_id):
            if not await self._memberships.remove(client_id, developer_id):
                raise ActRefused("unknown_id", f"{developer_id} is no member of {client_id}", 404)
        return EndedMember(app=client_id, developer_id=developer_id, removed=True)


class DirectInvites(InviteOperations):
    """Invitations, on an open store."""

    def __init__(self, resources: Resources, acts: Acts) -> None:
        self._settings = resources.settings
        self._invites = Invites(resources.store.redis, pepper_of(resources.settings.auth))
        self._acts = acts

    async def create(self, client_id: str, new: NewInvite) -> InviteCode:
        """Create an invitation; refused where the policy is that none counts."""
        async with self._acts.act("invite.create", "invite", app=client_id) as act:
            if self._settings.sign_up.policy == "closed":
                reason = "sign_up.policy is closed, under which no invitation counts"
                raise invalid(f"{reason}; use developers add and members add")
            lifetime = timedelta(seconds=new.expires_in_seconds)
            record, code = await self._invites.create(client_id, new.role, lifetime)
            settle_target(act, record.invite_id)
            act.detail |= {"role": record.role}
        return InviteCode(**InviteDocument.of(record).model_dump(), code=code)

    async def list(self) -> InviteList:
        """Return the invitations that are open, oldest first."""
        return InviteList(items=[InviteDocument.of(each) for each in await self._invites.list()])

    async def revoke(self, invite_id: str) -> EndedInvite:
        """End an invitation that nobody has used."""
        async with self._acts.act("invite.revoke", "invite", invite_id):
            if not await self._invites.take(invite_id):
                raise ActRefused("unknown_id", "there is no such invitation that is open", 404)
        return EndedInvite(invite_id=invite_id, revoked=True)


def _public_origin(settings: Settings) -> str:
    """Return where people reach the public listener; one that listens on all addresses is on this machine, too."""
    if settings.public_url:
        return settings.public_url
    host, _, port = settings.listen.rpartition(":")
    return f"http://{'127.0.0.1' if host in ('', '0.0.0.0', '[::]') else host}:{port}"  # noqa: S104 - compared only
