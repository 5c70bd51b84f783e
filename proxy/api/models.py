"""What the builder API takes and returns: each in both spellings, the tutorial's and that of pymthouse's own client."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from config.workloads import Workload
from middlewares.auth.records import KeyRecord, UserRecord

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must have no control characters")
    return text


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(_printable(text)):
        raise ValueError("must be an email address")
    return text


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        raise ValueError("must be a network such as 10.0.0.0/8") from None


def _future(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("must have a time zone")
    if moment <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return moment


ExternalId = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable)]
Email = Annotated[str, Field(max_length=254), AfterValidator(_email)]
UserStatus = Literal["active", "suspended", "inactive"]
ShortText = Annotated[str, Field(max_length=100), AfterValidator(_printable)]
FutureMoment = Annotated[datetime, AfterValidator(_future)]


class RequestBody(BaseModel):
    """A body as clients send it; members that are not known are ignored."""

    model_config = ConfigDict(hide_input_in_errors=True)


class UserChange(RequestBody):
    """What may be changed of a user; what is left out, or null, stays."""

    email: Email | None = None
    status: UserStatus | None = Field(None, description="`suspended`, or `inactive`: all its credentials are refused.")

    @property
    def record_status(self) -> Literal["active", "suspended"] | None:
        """Return the status as records have it."""
        return "suspended" if self.status == "inactive" else self.status


class NewUser(UserChange):
    """A user to create, or to find by its external id."""

    external_id: ExternalId | None = Field(None, description="The app's own id of the user, unique within the app.")
    externalUserId: ExternalId | None = Field(None, description="The same, in another spelling.")  # noqa: N815

    @model_validator(mode="after")
    def _one_id(self) -> Self:
        if not self.external_id and not self.externalUserId:
            raise ValueError("external_id (or externalUserId) is required")
        if self.external_id and self.externalUserId and self.external_id != self.externalUserId:
            raise ValueError("external_id and externalUserId name different users")
        return self

    @property
    def name(self) -> str:
        """Return the external id."""
        return self.external_id or self.externalUserId or ""


class UserView(BaseModel):
    """A user of an app."""

    user_id: str = Field(description="Letters, digits, `_` and `-` only.")
    external_id: str
    id: str
    clientId: str  # noqa: N815
    externalUserId: str  # noqa: N815
    email: str | None
    status: Literal["active", "suspended"]
    createdAt: datetime  # noqa: N815

    @classmethod
    def of(cls, user: UserRecord) -> Self:
        """Return the view of a record."""
        return cls(
            user_id=user.user_id,
            external_id=user.external_id,
            id=user.user_id,
            clientId=user.app,
            externalUserId=user.external_id,
            email=user.email,
            status=user.status,
            createdAt=user.created_at,
        )


class UserPage(BaseModel):
    """Users by user id."""

    users: list[UserView]
    next: str | None = Field(description="`after` of the next page; null: this is the last one.")


class UserTokenRequest(RequestBody):
    """What the token of a user is for."""

    scope: str = Field("sign:job", max_length=200, description="`inference`, `sign:job`, or both.")


class UserToken(BaseModel):
    """A token of a user."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a token type
    expires_in: int = Field(description="Seconds.")
    scope: str
    subject_type: Literal["app_user"] = "app_user"
    correlation_id: str


class NewKey(RequestBody):
    """A key of a user to create. Empty lists allow everything."""

    name: ShortText = ""
    expires_at: FutureMoment | None = None
    workloads: list[Workload] = Field([], max_length=50)
    models: list[Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_printable)]] = Field(
        [], max_length=100
    )
    cidrs: list[Annotated[str, AfterValidator(_network)]] = Field([], max_length=100)


class KeyView(BaseModel):
    """An API key without its secret."""

    key_id: str
    user_id: str | None
    name: str
    last4: str
    status: Literal["active", "revoked"]
    created_at: datetime
    expires_at: datetime | None
    workloads: list[Workload] | None = Field(description="null: all.")
    models: list[str] | None = Field(description="null: all.")
    cidrs: list[str] | None = Field(description="null: from anywhere.")

    @classmethod
    def of(cls, key: KeyRecord) -> KeyView:
        """Return the view of a record."""
        return KeyView(
            key_id=key.key_id,
            user_id=key.user,
            name=key.name,
            last4=key.last4,
            status=key.status,
            created_at=key.created_at,
            expires_at=key.expires_at,
            workloads=sorted(key.workloads) if key.workloads is not None else None,
            models=sorted(key.models) if key.models is not None else None,
            cidrs=list(key.cidrs) if key.cidrs is not None else None,
        )


class CreatedKey(KeyView):
    """A new API key, with its text, which is shown this once."""

    key: str


class KeyPage(BaseModel):
    """The keys of a user, oldest first."""

    keys: list[KeyView]
