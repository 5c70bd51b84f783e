"""The interfaces of all operations, one for each group of commands.

`direct` implements them on an open store, `proxy.cli.remote` by the admin API. Errors are `UnknownRecord`,
`ActRefused`, `StoreError`; by the admin API, `RemoteRefused` for the first two.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Literal, Protocol

from middlewares.auth.records import Role
from proxy.api.admin.audit_documents import AuditLines, AuditVerification, ErasedDocument, Erasure
from proxy.api.admin.documents import (
    AppChange,
    AppDocument,
    AppIdentityProvider,
    AppPage,
    AppSecret,
    AppStatus,
    FoundUser,
    KeyDocument,
    KeyList,
    KeyText,
    NewApp,
    NewAppKey,
    OperatorDocument,
    OperatorKey,
    OperatorList,
    PlanList,
    RotatedKey,
    UserDocument,
    UserList,
)
from proxy.api.admin.gateway_documents import GatewayChange, GatewayList
from proxy.api.admin.ledger_documents import (
    AttentionPage,
    CreditChange,
    CreditGrant,
    EventDocument,
    EventPage,
    ForgottenGroup,
    GroupName,
    HistoryIdentity,
    HistoryState,
    IssuerKeyDocument,
    PrunedStreams,
    Pruning,
    Resolution,
    ResolutionRequest,
    ServerState,
    StatementDocument,
    UsageDocument,
    Verification,
    WalletChange,
    WalletDocument,
)
from proxy.api.admin.operations.query import AuditQuery, EventQuery
from proxy.api.admin.people_documents import (
    BlockList,
    DeveloperDocument,
    DeveloperPage,
    EndedInvite,
    EndedMember,
    FoundDeveloper,
    InviteCode,
    InviteList,
    MemberDocument,
    MemberList,
    NewDeveloper,
    NewInvite,
    OperatorLink,
    OrchestratorAddress,
    OrchestratorState,
    PortalLink,
)
from proxy.api.keys.models import ChangedKey
from proxy.api.keys.rotation import KeyRotation
from proxy.api.models import NewUser, UserStatus
from proxy.api.webhooks.operations import WebhookOperations
from proxy.control.developers.records import MemberRole
from proxy.reporting.explain.documents import Explanation
from proxy.reporting.totals import Dimension

DeveloperAct = Literal["approve", "suspend", "resume"]


class AppOperations(Protocol):
    """Apps, the customers."""

    async def create(self, new: NewApp) -> AppSecret: ...
    async def page(self, after: str, limit: int) -> AppPage: ...
    async def get(self, client_id: str) -> AppDocument: ...
    async def change(self, client_id: str, change: AppChange) -> AppDocument: ...
    async def set_status(self, client_id: str, status: AppStatus) -> AppDocument: ...
    async def rotate_secret(self, client_id: str) -> AppSecret: ...
    async def set_issuer(self, client_id: str, provider: AppIdentityProvider | None) -> AppDocument: ...


class KeyOperations(Protocol):
    """API keys."""

    async def create(self, client_id: str, new: NewAppKey) -> KeyText: ...
    async def page(self, client_id: str, after: str, limit: int) -> KeyList: ...
    async def get(self, key_id: str) -> KeyDocument: ...
    async def change(self, key_id: str, change: ChangedKey) -> KeyDocument: ...
    async def rotate(self, key_id: str, rotation: KeyRotation) -> RotatedKey: ...
    async def revoke(self, key_id: str) -> KeyDocument: ...


class UserOperations(Protocol):
    """End users of apps."""

    async def create(self, client_id: str, new: NewUser) -> FoundUser: ...
    async def page(self, client_id: str, after: str, limit: int) -> UserList: ...
    async def get(self, client_id: str, user: str) -> UserDocument: ...
    async def set_status(self, client_id: str, user: str, status: UserStatus) -> UserDocument: ...


class OperatorOperations(Protocol):
    """Operators of this deployment."""

    async def create(self, name: str, role: Role) -> OperatorKey: ...
    async def list(self) -> OperatorList: ...
    async def revoke(self, operator_id: str) -> OperatorDocument: ...
    async def portal_link(self, operator_id: str) -> OperatorLink: ...


class DeveloperOperations(Protocol):
    """Developers, who sign in with a wallet."""

    async def add(self, new: NewDeveloper) -> FoundDeveloper: ...
    async def page(self, after: str, limit: int) -> DeveloperPage: ...
    async def set_status(self, developer_id: str, act: DeveloperAct) -> DeveloperDocument: ...
    async def portal_link(self, developer_id: str) -> PortalLink: ...


class MemberOperations(Protocol):
    """Which developer has which role in which app."""

    async def put(self, client_id: str, developer_id: str, role: MemberRole) -> MemberDocument: ...
    async def list(self, client_id: str) -> MemberList: ...
    async def remove(self, client_id: str, developer_id: str) -> EndedMember: ...


class InviteOperations(Protocol):
    """Invitations to apps."""

    async def create(self, client_id: str, new: NewInvite) -> InviteCode: ...
    async def list(self) -> InviteList: ...
    async def revoke(self, invite_id: str) -> EndedInvite: ...


class OrchestratorOperations(Protocol):
    """The live block list of orchestrators."""

    async def block(self, orchestrator: OrchestratorAddress) -> OrchestratorState: ...
    async def unblock(self, orchestrator: OrchestratorAddress) -> OrchestratorState: ...
    async def list(self) -> BlockList: ...


class GatewayOperations(Protocol):
    """Gateways by their origins, and which of them get new work."""

    async def list(self) -> GatewayList: ...
    async def drain(self, gateway: str) -> GatewayChange: ...
    async def resume(self, gateway: str) -> GatewayChange: ...


class AuditOperations(Protocol):
    """The audit log; `head` is one that an earlier verification showed."""

    async def page(self, query: AuditQuery) -> AuditLines: ...
    async def verify(self, head: str | None) -> AuditVerification: ...


class SubjectOperations(Protocol):
    """Everything about an app, or about one of its users by user id or external id."""

    async def export(self, client_id: str, user: str | None) -> AsyncGenerator[dict[str, Any], None]: ...
    async def erase(self, client_id: str, erasure: Erasure) -> ErasedDocument: ...


class CreditOperations(Protocol):
    """Prepaid credits; `user` None: the wallet of the app."""

    async def grant(self, client_id: str, user: str | None, change: CreditGrant) -> WalletChange: ...
    async def debit(self, client_id: str, user: str | None, change: CreditChange) -> WalletChange: ...
    async def show(self, client_id: str, user: str | None) -> WalletDocument: ...


class EventOperations(Protocol):
    """Usage events, and those of them that a person should look at."""

    async def page(self, client_id: str, query: EventQuery) -> EventPage: ...
    async def get(self, client_id: str, event_id: str) -> EventDocument: ...
    async def explain(self, request_id: str) -> Explanation: ...
    async def attention(self, client_id: str, query: EventQuery) -> AttentionPage: ...
    async def resolve(self, client_id: str, event_id: str, request: ResolutionRequest) -> Resolution: ...


class ReportOperations(Protocol):
    """Usage, statements and verification; days as in `EventQuery`."""

    async def usage(
        self, client_id: str, first: str | None, last: str | None, group_by: list[Dimension]
    ) -> UsageDocument: ...
    async def statement(self, client_id: str, period: str) -> StatementDocument: ...
    async def verify(self, client_id: str | None) -> Verification: ...


class DeploymentOperations(Protocol):
    """The deployment itself."""

    async def plans(self) -> PlanList: ...
    async def status(self) -> ServerState: ...
    async def reload(self) -> ServerState: ...
    async def rotate_issuer(self, lead_seconds: int) -> IssuerKeyDocument: ...
    async def history(self) -> HistoryState: ...
    async def adopt_history(self) -> HistoryIdentity: ...
    async def prune_history(self, pruning: Pruning) -> PrunedStreams: ...
    async def forget_export_group(self, group: GroupName) -> ForgottenGroup: ...


class Operations(Protocol):
    """All of them."""

    @property
    def apps(self) -> AppOperations: ...
    @property
    def keys(self) -> KeyOperations: ...
    @property
    def users(self) -> UserOperations: ...
    @property
    def operators(self) -> OperatorOperations: ...
    @property
    def developers(self) -> DeveloperOperations: ...
    @property
    def members(self) -> MemberOperations: ...
    @property
    def invites(self) -> InviteOperations: ...
    @property
    def orchestrators(self) -> OrchestratorOperations: ...
    @property
    def gateways(self) -> GatewayOperations: ...
    @property
    def webhooks(self) -> WebhookOperations: ...
    @property
    def audit(self) -> AuditOperations: ...
    @property
    def subjects(self) -> SubjectOperations: ...
    @property
    def credits(self) -> CreditOperations: ...
    @property
    def events(self) -> EventOperations: ...
    @property
    def reports(self) -> ReportOperations: ...
    @property
    def deployment(self) -> DeploymentOperations: ...
