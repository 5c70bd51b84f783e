"""Records of developers and of what they may do in which app. Times are in UTC."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from middlewares.auth.records import RecordRef

MemberRole = Literal["owner", "developer", "billing", "viewer"]
DeveloperStatus = Literal["active", "pending", "suspended"]


@dataclass(frozen=True, slots=True)
class ForeignIdentity:
    """Whom an OpenID Connect provider names: a subject is one person for ever, but only within its issuer."""

    issuer: str
    subject: str


Identity = str | ForeignIdentity
"""What a developer proves to be: the owner of a wallet, by its address, or somebody whom a provider names."""


@dataclass(frozen=True, slots=True)
class DeveloperRecord:
    """A person who signs in: with a wallet, at an OpenID Connect provider, or by links alone."""

    developer_id: str
    wallet: str | None
    """Address in lower case; None: it has no wallet."""
    created_at: datetime
    status: DeveloperStatus = "active"
    """`pending`: signed up, and waits for an operator."""
    email: str | None = None
    generation: int = 0
    """Sessions of an earlier generation have ended."""
    identity: ForeignIdentity | None = None
    """Who it is at the provider; None where it has a wallet, and until its first sign-in there."""
    due_app: str | None = None
    """Client id of the app that open sign-up has yet to make for it."""

    @property
    def ref(self) -> RecordRef:
        return RecordRef("developer", self.developer_id)


@dataclass(frozen=True, slots=True)
class MembershipRecord:
    """The role of a developer in an app."""

    app: str
    developer: str
    role: MemberRole
    created_at: datetime

    @property
    def ref(self) -> RecordRef:
        return RecordRef("member", f"{self.app}/{self.developer}")


@dataclass(frozen=True, slots=True)
class InviteRecord:
    """An invitation, without its secret, that makes one developer a member of an app."""

    invite_id: str
    hash: str = field(repr=False)
    app: str
    role: MemberRole
    created_at: datetime
    expires_at: datetime
    claimed_by: str = ""
    """Redis key of the identity that is about to become a member by it; nobody else can use it."""

    @property
    def ref(self) -> RecordRef:
        return RecordRef("invite", self.invite_id)


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A developer that is signed in on one device, without the session's secret."""

    session_id: str
    hash: str = field(repr=False)
    developer: str
    generation: int
    """Generation of the developer when it signed in."""
    created_at: datetime
    expires_at: datetime
    address: str
    """Address of the client that signed in."""
    client: str = ""
    """What it called itself (`User-Agent`)."""
    idle_seconds: int = 0
    """Seconds without a request after which it ends before its time; 0: it does not."""

    @property
    def ref(self) -> RecordRef:
        return RecordRef("session", self.session_id)


@dataclass(frozen=True, slots=True)
class SignInLinkRecord:
    """A link, without its secret, by which a developer signs in to the portal once."""

    link_id: str
    hash: str = field(repr=False)
    developer: str
    created_at: datetime
    expires_at: datetime

    @property
    def ref(self) -> RecordRef:
        return RecordRef("sign-in-link", self.link_id)
