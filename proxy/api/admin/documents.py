"""What the admin API takes and returns about apps, keys, users and operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from config.issuers import has_discovery, is_secure_url
from config.workloads import Workload
from middlewares.auth.records import AppIssuer, AppRecord, KeyRecord, OperatorRecord, Role, UserRecord
from middlewares.ledger.admission.key_limits import KeyLimits
from proxy.api.keys.models import NewKey, narrowing_of
from proxy.api.models import RequestBody, ShortText, UserStatus, printable
from proxy.control.key_age import rotation_due

Name = Annotated[ShortText, Field(min_length=1)]
IssuerText = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(printable)]
AppStatus = Literal["active", "suspended"]


class NewApp(RequestBody):
    """An app to create."""

    name: Name
    plan: ShortText
    tier: ShortText | None = Field(None, description="Routing tier in place of that of the plan.")


class AppChange(RequestBody):
    """What may be changed of an app; what is left out, or null, stays."""

    plan: ShortText | None = None
    tier: ShortText | None = Field(None, description="Empty: that of the plan.")


class AppIdentityProvider(RequestBody):
    """The identity provider of an app, whose JWTs it exchanges for tokens of its users."""

    issuer: IssuerText = Field(description="The exact `iss` of its JWTs.")
    audience: IssuerText = Field(description="The `aud` that its JWTs name.")
    jwks_url: Annotated[str, Field(max_length=2_000)] | None = Field(
        None, description="Its key set, by https; null: the one that the issuer's discovery document names."
    )
    single_use: bool = Field(False, description="Exchange each JWT once, by its `jti`.")

    @model_validator(mode="after")
    def _key_set(self) -> Self:
        if self.jwks_url is None and not has_discovery(self.issuer):
            raise ValueError("give jwks_url, or an issuer that is an https URL, to discover it from")
        if self.jwks_url is not None and not is_secure_url(self.jwks_url):
            raise ValueError("jwks_url must be an https URL")
        return self

    @property
    def record(self) -> AppIssuer:
        """Return it as records have it."""
        return AppIssuer(self.issuer, self.audience, self.jwks_url, self.single_use)


class AppDocument(BaseModel):
    """An app, a customer."""

    client_id: str
    name: str
    plan: str
    tier: str | None
    status: AppStatus
    issuer: str | None = Field(description="The app's own identity provider, the `iss` of its JWTs; null: none.")
    audience: str | None
    jwks_url: str | None
    single_use: bool | None
    created_at: datetime

    @classmethod
    def of(cls, record: AppRecord) -> Self:
        """Return the document of a record."""
        return cls(
            client_id=record.client_id,
            name=record.name,
            plan=record.plan,
            tier=record.tier,
            status=record.status,
            issuer=record.issuer and record.issuer.issuer,
            audience=record.issuer and record.issuer.audience,
            jwks_url=record.issuer and record.issuer.jwks_url,
            single_use=record.issuer and record.issuer.single_use,
            created_at=record.created_at,
        )


class AppSecret(AppDocument):
    """An app with its new client secret, which is in this response and nowhere else."""

    client_secret: str


class AppPage(BaseModel):
    """Apps by client id."""

    items: list[AppDocument]
    next: str | None = Field(description="`after` of the next page; null: this is the last one.")


class PlanDocument(BaseModel):
    """A plan in force."""

    name: str
    version: str = Field(description="Digest of its terms; events name it.")
    terms: dict[str, object] = Field(description="As in the configuration.")


class PlanList(BaseModel):
    """The plans in force, by name."""

    items: list[PlanDocument]


class NewAppKey(NewKey):
    """A key to create, of an app or of one of its users."""

    user: ShortText | None = Field(None, description="User id; null: a key of the app itself.")


Limits = dict[str, int | str]


class KeyDocument(BaseModel):
    """An API key without its secret, as `tollgate keys` shows it."""

    key_id: str
    last4: str
    app: str
    user: str | None
    name: str
    description: str
    status: Literal["active", "revoked", "expired"]
    created_at: datetime
    last_used_at: datetime | None = Field(description="To within some minutes; null: not yet, or not known.")
    expires_at: datetime | None
    rotation_due: bool = Field(description="It is older than keys should become.")
    limits: Limits | None = Field(description="Its own limits; null: none.")
    increase: Limits | None = Field(description="Higher limits, and until when.")
    workloads: list[Workload] | None = Field(description="null: all.")
    models: list[str] | None = Field(description="null: all.")
    cidrs: list[str] | None = Field(description="null: from anywhere.")
    origins: list[str] | None = Field(description="null: all, and programs that are no browser.")
    streams: list[str] | None = Field(description="null: all.")
    replaced_by: str | None

    @classmethod
    def of(cls, record: KeyRecord, rotate_after_days: int, used: Mapping[str, datetime] | None = None) -> KeyDocument:
        """Return the document of a record, as it is now; `used` is when each key of its app was last used."""
        now = datetime.now(UTC)
        expired = record.expires_at is not None and record.expires_at <= now
        increase = record.increase
        raised: Limits | None = None
        if increase:
            raised = {**(_limits(increase.limits) or {}), "until": increase.until.isoformat(timespec="seconds")}
        return KeyDocument(
            key_id=record.key_id,
            last4=record.last4,
            app=record.app,
            user=record.user,
            name=record.name,
            description=record.description,
            status="expired" if expired and record.status == "active" else record.status,
            created_at=record.created_at,
            last_used_at=(used or {}).get(record.key_id),
            expires_at=record.expires_at,
            rotation_due=rotation_due(record, now, rotate_after_days),
            limits=_limits(record.limits),
            increase=raised,
            **narrowing_of(record),
            replaced_by=record.replaced_by,
        )


def _limits(limits: KeyLimits | None) -> Limits | None:
    return {name: value for name, value in asdict(limits).items() if value is not None} if limits else None


class KeyText(KeyDocument):
    """A new key with its text, which is in this response and nowhere else."""

    key: str


class RotatedKey(KeyText):
    """A new key in place of another."""

    replaces: str
    replaced_key_ends_at: datetime


class KeyList(BaseModel):
    """The keys of an app and its users by key id."""

    items: list[KeyDocument]
    next: str | None = Field(description="`after` of the next page; null: this is the last one.")


class UserDocument(BaseModel):
    """An end user of an app."""

    user_id: str
    app: str
    external_id: str
    email: str | None
    status: AppStatus
    created_at: datetime

    @classmethod
    def of(cls, record: UserRecord) -> Self:
        """Return the document of a record."""
        return cls(
            user_id=record.user_id,
            app=record.app,
            external_id=record.external_id,
            email=record.email,
            status=record.status,
            created_at=record.created_at,
        )


class FoundUser(UserDocument):
    """A user that was created, or found by its external id."""

    created: bool


class UserList(BaseModel):
    """Users by user id."""

    items: list[UserDocument]
    next: str | None = Field(description="`after` of the next page; null: this is the last one.")


class StatusChange(RequestBody):
    """A new status of a user; `inactive` also revokes all its keys for good."""

    status: UserStatus


class NewOperator(RequestBody):
    """An operator to create."""

    name: Name
    role: Role


class OperatorDocument(BaseModel):
    """An operator without the secret of its key."""

    operator_id: str
    name: str
    role: Role
    last4: str
    status: Literal["active", "revoked"]
    created_at: datetime

    @classmethod
    def of(cls, record: OperatorRecord) -> Self:
        """Return the document of a record."""
        return cls(
            operator_id=record.operator_id,
            name=record.name,
            role=record.role,
            last4=record.last4,
            status=record.status,
            created_at=record.created_at,
        )


class OperatorKey(OperatorDocument):
    """A new operator with its key, which is in this response and nowhere else."""

    key: str


class OperatorList(BaseModel):
    """All operators, oldest first."""

    items: list[OperatorDocument]
