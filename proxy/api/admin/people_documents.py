"""What the admin API takes and returns about developers, members, invitations and orchestrators."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from config.webhooks import orchestrator_address
from proxy.api.models import Email, RequestBody
from proxy.control.developers.records import (
    DeveloperRecord,
    DeveloperStatus,
    InviteRecord,
    MemberRole,
    MembershipRecord,
)

SHORTEST_INVITE_SECONDS = 1
LONGEST_INVITE_SECONDS = 365 * 86_400
USUAL_INVITE_SECONDS = 7 * 86_400


def _wallet(text: str) -> str:
    from proxy.identity.siwe.address import checked_address  # noqa: PLC0415 - commands start without it

    return checked_address(text)


Wallet = Annotated[
    str, Field(max_length=42, json_schema_extra={"pattern": "^0x[0-9A-Fa-f]{40}$"}), AfterValidator(_wallet)
]
Address = Annotated[str, Field(max_length=300), AfterValidator(orchestrator_address)]


class NewDeveloper(RequestBody):
    """A developer to add, or to find: by its wallet, by its subject, or by its e-mail address alone."""

    wallet: Wallet | None = Field(None, description="`0x` and 40 digits; in mixed case, with its checksum (EIP-55).")
    subject: str | None = Field(
        None, min_length=1, max_length=255, description="`sub` that the provider of the portal has for it."
    )
    email: Email | None = Field(
        None,
        description="Without a wallet and a subject: the developer is whoever first signs in at the provider with this "
        "address, verified.",
    )

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        if self.wallet is not None and self.subject is not None:
            raise ValueError("Give a wallet or a subject, not both.")
        if self.wallet is None and self.subject is None and self.email is None:
            raise ValueError("Give a wallet, a subject or an e-mail address.")
        return self


class DeveloperDocument(BaseModel):
    """A developer."""

    developer_id: str
    wallet: str | None = Field(description="Null: it has none.")
    issuer: str | None = Field(description="Provider at which it signs in; null: none yet.")
    subject: str | None = Field(description="Whom that provider calls it.")
    email: str | None
    status: DeveloperStatus
    created_at: datetime

    @classmethod
    def of(cls, record: DeveloperRecord) -> Self:
        """Return the document of a record."""
        return cls(
            developer_id=record.developer_id,
            wallet=record.wallet,
            issuer=record.identity and record.identity.issuer,
            subject=record.identity and record.identity.subject,
            email=record.email,
            status=record.status,
            created_at=record.created_at,
        )


class FoundDeveloper(DeveloperDocument):
    """A developer that was added, or found."""

    created: bool


class DeveloperPage(BaseModel):
    """Developers by developer id."""

    items: list[DeveloperDocument]
    next: str | None = Field(description="`after` of the next page; null: this is the last one.")


class PortalLink(BaseModel):
    """A link by which a developer signs in to the portal, once. Its URL is in this response and nowhere else."""

    developer_id: str
    link_id: str
    url: str = Field(description="Below `public_url`, or the address of the public listener.")
    expires_at: datetime


class OperatorLink(BaseModel):
    """A link by which an operator signs in to the portal, once. Its URL is in this response and nowhere else."""

    operator_id: str
    link_id: str
    url: str = Field(description="Below `public_url`, or the address of the public listener.")
    expires_at: datetime


class NewMember(RequestBody):
    """The role of a member, new or in place of another."""

    role: MemberRole


class MemberDocument(BaseModel):
    """The role of a developer in an app."""

    app: str
    developer_id: str
    role: MemberRole
    created_at: datetime

    @classmethod
    def of(cls, record: MembershipRecord) -> Self:
        """Return the document of a record."""
        return cls(app=record.app, developer_id=record.developer, role=record.role, created_at=record.created_at)


class MemberList(BaseModel):
    """The members of an app, oldest first."""

    items: list[MemberDocument]


class EndedMember(BaseModel):
    """A membership that has ended."""

    app: str
    developer_id: str
    removed: bool


class NewInvite(RequestBody):
    """An invitation to create."""

    role: MemberRole
    expires_in_seconds: int = Field(USUAL_INVITE_SECONDS, ge=SHORTEST_INVITE_SECONDS, le=LONGEST_INVITE_SECONDS)


class InviteDocument(BaseModel):
    """An invitation that is open, without its code."""

    invite_id: str
    app: str
    role: MemberRole
    created_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, record: InviteRecord) -> Self:
        """Return the document of a record."""
        return cls.model_validate(record, from_attributes=True)


class InviteCode(InviteDocument):
    """A new invitation with its code, which is in this response and nowhere else."""

    code: str


class InviteList(BaseModel):
    """The invitations that are open, oldest first."""

    items: list[InviteDocument]


class EndedInvite(BaseModel):
    """An invitation that nobody can use any more."""

    invite_id: str
    revoked: bool


class OrchestratorAddress(RequestBody):
    """An orchestrator by its address."""

    address: Address = Field(description="Its https origin, as `https://host:port`.")


class OrchestratorState(BaseModel):
    """Whether an orchestrator is left out of the lists of all tiers."""

    address: str
    blocked: bool
    changed: bool = Field(description="False: it was so before.")


class BlockList(BaseModel):
    """The addresses of the orchestrators that are blocked, in order."""

    items: list[str]
