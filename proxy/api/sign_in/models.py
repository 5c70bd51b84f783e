"""What the routes of sign-in take and return."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from middlewares.auth.records import AppRecord
from proxy.api.models import RequestBody
from proxy.control.developers.nonces import Nonce
from proxy.control.developers.records import (
    DeveloperRecord,
    DeveloperStatus,
    MemberRole,
    MembershipRecord,
    SessionRecord,
)
from proxy.identity.siwe.policy import SiweTerms
from proxy.identity.wallet_sign_in import SignedIn


class NonceView(BaseModel):
    """What a message to sign has to say."""

    nonce: str
    domain: str
    uri: str
    statement: str
    version: str = Field(description="Always `1`.")
    chain_ids: list[int] = Field(description="Chain ids of which a message may name one.")
    issued_at: datetime = Field(description="Now, by the server's clock: good for `Issued At`.")
    expires_at: datetime = Field(description="When the nonce is over.")

    @classmethod
    def of(cls, nonce: Nonce, terms: SiweTerms) -> Self:
        """Return the view of a nonce."""
        return cls(
            nonce=nonce.text,
            domain=terms.domain,
            uri=terms.origin,
            statement=terms.statement,
            version="1",
            chain_ids=sorted(terms.chain_ids),
            issued_at=nonce.issued_at,
            expires_at=nonce.expires_at,
        )


class WalletSignInRequest(RequestBody):
    """A signed message of EIP-4361."""

    message: str = Field(min_length=1, max_length=16_384, description="Exactly as the wallet signed it.")
    signature: str = Field(min_length=1, max_length=16_384, description="`0x` and 130 hexadecimal digits.")
    invite: str | None = Field(None, max_length=100, description="Code of an invitation.")


class AppRole(BaseModel):
    """An app that a developer is a member of."""

    client_id: str
    name: str
    status: str
    role: MemberRole

    @classmethod
    def of(cls, member: MembershipRecord, app: AppRecord) -> Self:
        """Return the view of a membership."""
        return cls(client_id=app.client_id, name=app.name, status=app.status, role=member.role)


class DeveloperView(BaseModel):
    """A developer."""

    developer_id: str
    address: str | None = Field(description="Of the wallet, with its checksum (EIP-55); null: it has none.")
    status: DeveloperStatus
    email: str | None
    created_at: datetime
    apps: list[AppRole]

    @classmethod
    def of(cls, developer: DeveloperRecord, address: str | None, apps: list[AppRole]) -> Self:
        """Return the view of a developer and its memberships."""
        return cls(
            developer_id=developer.developer_id,
            address=address,
            status=developer.status,
            email=developer.email,
            created_at=developer.created_at,
            apps=apps,
        )


class NewAppView(BaseModel):
    """An app that the sign-up has created. Its secret is in this response and nowhere else."""

    client_id: str
    client_secret: str


class SignedInView(BaseModel):
    """A sign-in that succeeded."""

    token: str = Field(description="JWT of the issuer, for `Authorization: Bearer`; it ends with the session.")
    expires_at: datetime = Field(description="When the token expires.")
    address: str = Field(description="Of the wallet, with its checksum (EIP-55).")
    session: str = Field(description="Token of the session, for `Authorization: Bearer`.")
    session_id: str
    session_expires_at: datetime
    developer: DeveloperView
    created_app: NewAppView | None

    @classmethod
    def of(cls, signed_in: SignedIn, developer: DeveloperView) -> Self:
        """Return the view of a sign-in."""
        app = signed_in.admitted.app
        return cls(
            token=signed_in.token.text,
            expires_at=signed_in.token_expires_at,
            address=signed_in.wallet,
            session=signed_in.session_token,
            session_id=signed_in.session.session_id,
            session_expires_at=signed_in.session.expires_at,
            developer=developer,
            created_app=app and NewAppView(client_id=app.client_id, client_secret=app.client_secret),
        )


class SessionView(BaseModel):
    """A session, without its token."""

    session_id: str
    created_at: datetime
    expires_at: datetime
    address: str = Field(description="Network address that signed in.")
    client: str = Field(description="`User-Agent` that signed in.")
    current: bool = Field(description="Whether this request belongs to it.")

    @classmethod
    def of(cls, session: SessionRecord, current: str) -> Self:
        """Return the view of a session; `current` is the id of the one that asks."""
        return cls(
            session_id=session.session_id,
            created_at=session.created_at,
            expires_at=session.expires_at,
            address=session.address,
            client=session.client,
            current=session.session_id == current,
        )


class SessionPage(BaseModel):
    """The sessions of a developer, oldest first."""

    sessions: list[SessionView]


class EndedSessions(BaseModel):
    """What was ended: the tokens of these sessions, and all JWTs that were issued in them."""

    ended: list[str] = Field(description="Ids of sessions.")
