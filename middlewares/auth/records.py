"""Records of customers and their credentials, as the control plane writes and auth reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from config.workloads import Workload
from middlewares.ledger.admission.key_limits import NO_LIMITS, Increase, KeyLimits, KeyTerms

RecordKind = Literal[
    "app",
    "key",
    "user",
    "token",
    "developer",
    "member",
    "invite",
    "session",
    "sign-in-link",
    "view-link",
    "operator",
    "operator-link",
    "operator-session",
    "gateway",
    "event",
    "webhook",
    "delivery",
    "request",
]


@dataclass(frozen=True, slots=True)
class RecordRef:
    """Reference to one record, in verdicts that rest on it and in notices of changes."""

    kind: RecordKind
    id: str
    """Its id; of users and members `<client_id>/<id>`, of a token of our own issuer its `jti`."""


@dataclass(frozen=True, slots=True)
class AppIssuer:
    """An identity provider of an app, whose JWTs the app exchanges for tokens of its users."""

    issuer: str
    """The exact `iss`."""
    audience: str
    """The `aud` that its tokens must name."""
    jwks_url: str | None = None
    """None: the one that its discovery document names."""
    single_use: bool = False
    """True: a token is exchanged once, and must have a `jti`."""


@dataclass(frozen=True, slots=True)
class AppRecord:
    """A customer. Times are in UTC."""

    client_id: str
    name: str
    plan: str
    created_at: datetime
    secret_hash: str = field(repr=False)
    status: Literal["active", "suspended"] = "active"
    tier: str | None = None
    """Routing tier in place of the plan's own."""
    issuer: AppIssuer | None = None

    @property
    def ref(self) -> RecordRef:
        return RecordRef("app", self.client_id)


@dataclass(frozen=True, slots=True)
class UserRecord:
    """An end user of an app. `external_id` is the app's own name for it, unique within the app."""

    user_id: str
    app: str
    external_id: str
    created_at: datetime
    email: str | None = None
    status: Literal["active", "suspended"] = "active"

    @property
    def ref(self) -> RecordRef:
        return RecordRef("user", f"{self.app}/{self.user_id}")


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key without its secret. What narrows it allows everything where it is None.

    Fields that are younger than the first version have defaults: records in Redis may lack them.
    """

    key_id: str
    app: str
    hash: str = field(repr=False)
    """Hash of the secret, by `keys.hash_secret`."""
    last4: str
    """The last characters of the key, for people to tell keys apart."""
    created_at: datetime
    name: str = ""
    user: str | None = None
    """User of the app that it belongs to; None: the app itself."""
    status: Literal["active", "revoked"] = "active"
    expires_at: datetime | None = None
    workloads: frozenset[Workload] | None = None
    models: frozenset[str] | None = None
    cidrs: tuple[str, ...] | None = None
    """Networks that it may be used from, for example `10.0.0.0/8`."""
    replaced_by: str | None = None
    """Id of the key that it was rotated to; until `expires_at` both work."""
    replaces: str | None = None
    """Id of the key that was rotated to this one."""
    family: str = ""
    """Id of the first key that it descends from by rotation; empty in records of earlier versions: its own id."""
    description: str = ""
    limits: KeyLimits | None = None
    """Its own limits, beside those of its plan; keys of one family share what is counted."""
    increase: Increase | None = None
    """Higher limits than those, for some time."""
    origins: tuple[str, ...] | None = None
    """Origins of the web pages that may use it, such as `https://app.example`."""
    streams: frozenset[str] | None = None
    """Names of the streams that it may publish, watch, change and end, as its app calls them."""

    @property
    def ref(self) -> RecordRef:
        return RecordRef("key", self.key_id)

    @property
    def root(self) -> str:
        """Return the id under which the ledger counts what it uses."""
        return self.family or self.key_id

    @property
    def terms(self) -> KeyTerms | None:
        """Return what the ledger has to know of it; None: nothing but its id."""
        if self.limits is None and self.root == self.key_id:
            return None
        return KeyTerms(self.root, self.limits or NO_LIMITS, self.increase)


class Role(StrEnum):
    """What an operator may do; each role includes those before it."""

    VIEWER = "viewer"
    """Read everything."""
    SUPPORT = "support"
    """Suspend and resume, resolve events that need attention, revoke keys."""
    ADMIN = "admin"
    """Everything."""

    def covers(self, needed: Role) -> bool:
        """Return True if this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class OperatorRecord:
    """An operator of this deployment, with its one key, less the key's secret."""

    operator_id: str
    """Public id in the text of its key."""
    name: str
    role: Role
    hash: str = field(repr=False)
    """Hash of the key's secret, by `keys.hash_secret`."""
    last4: str
    created_at: datetime
    status: Literal["active", "revoked"] = "active"

    @property
    def ref(self) -> RecordRef:
        return RecordRef("operator", self.operator_id)
