"""The routes of the admin API on money, events, reports and the deployment."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query

from middlewares.exchange import Outcome
from proxy.api.admin.documents import PlanList
from proxy.api.admin.endpoints import Admin, ClientId, OperationEndpoints, Support, Viewer
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
    IssuerRotation,
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
from proxy.api.admin.operations.query import EventQuery
from proxy.reporting.explain.documents import Explanation
from proxy.reporting.totals import Dimension

_DAY = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
FirstDay = Annotated[str | None, Query(alias="from", pattern=_DAY, description="First day in UTC.")]
LastDay = Annotated[str | None, Query(alias="to", pattern=_DAY, description="Last day in UTC, included.")]
WalletUser = Annotated[
    str | None, Query(pattern="^[A-Za-z0-9_-]{1,128}$", description="The wallet of this user; without: of the app.")
]
EventId = Annotated[str, Path(max_length=600)]
Month = Annotated[str, Query(max_length=10, description="Month or day in UTC, such as 2026-11 or 2026-11-21.")]


def _query(
    *,
    first: FirstDay = None,
    last: LastDay = None,
    outcome: Outcome | None = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Most events to look through for a page.")] = 100,
    after: Annotated[str, Query(max_length=1_000, description="`next` of the page before.")] = "",
) -> EventQuery:
    return EventQuery(first=first, last=last, outcome=outcome, limit=limit, after=after)


Wanted = Annotated[EventQuery, Depends(_query)]


class CreditEndpoints(OperationEndpoints):
    """The routes below `/apps/{client_id}/credits`."""

    async def show(self, client_id: ClientId, operator: Viewer, user: WalletUser = None) -> WalletDocument:
        """Return a wallet."""
        return await self.by(operator).credits.show(client_id, user)

    async def grant(
        self, client_id: ClientId, operator: Admin, body: CreditGrant, user: WalletUser = None
    ) -> WalletChange:
        """Add credits to a wallet, once per app and reference."""
        return await self.by(operator).credits.grant(client_id, user, body)

    async def debit(
        self, client_id: ClientId, operator: Admin, body: CreditChange, user: WalletUser = None
    ) -> WalletChange:
        """Take credits out of a wallet, once per app and reference."""
        return await self.by(operator).credits.debit(client_id, user, body)


class EventEndpoints(OperationEndpoints):
    """The routes of events, and of those that need attention."""

    async def page(self, client_id: ClientId, operator: Viewer, query: Wanted) -> EventPage:
        """Return events of an app by page."""
        return await self.by(operator).events.page(client_id, query)

    async def get(self, client_id: ClientId, event_id: EventId, operator: Viewer) -> EventDocument:
        """Return an event of an app."""
        return await self.by(operator).events.get(client_id, event_id)

    async def explain(self, request_id: EventId, operator: Viewer) -> Explanation:
        """Explain why a request was refused, or what it was charged, and why."""
        return await self.by(operator).events.explain(request_id)

    async def attention(self, client_id: ClientId, operator: Viewer, query: Wanted) -> AttentionPage:
        """Return events that need attention, open and decided ones. A page may be empty before the end."""
        return await self.by(operator).events.attention(client_id, query)

    async def resolve(
        self, client_id: ClientId, event_id: EventId, operator: Support, body: ResolutionRequest
    ) -> Resolution:
        """Decide about an event that needs attention, once and for good."""
        return await self.by(operator).events.resolve(client_id, event_id, body)


class ReportEndpoints(OperationEndpoints):
    """The routes of usage, statements and verification."""

    async def usage(
        self,
        client_id: ClientId,
        operator: Viewer,
        first: FirstDay = None,
        last: LastDay = None,
        group_by: Annotated[list[Dimension], Query(max_length=6)] = [],  # noqa: B006 - FastAPI copies it
    ) -> UsageDocument:
        """Return the usage of an app, by default in the current month."""
        return await self.by(operator).reports.usage(client_id, first, last, group_by)

    async def statement(self, client_id: ClientId, operator: Viewer, period: Month) -> StatementDocument:
        """Return the account of an app for a month or a day."""
        return await self.by(operator).reports.statement(client_id, period)

    async def verify(
        self,
        operator: Viewer,
        client_id: Annotated[str | None, Query(pattern="^app_[a-z2-7]{16}$", description="Only this app.")] = None,
    ) -> Verification:
        """Compute all totals from events and compare. It may take minutes."""
        return await self.by(operator).reports.verify(client_id)


class DeploymentEndpoints(OperationEndpoints):
    """The routes of the deployment itself."""

    async def plans(self, operator: Viewer) -> PlanList:
        """Return the plans in force."""
        return await self.by(operator).deployment.plans()

    async def status(self, operator: Viewer) -> ServerState:
        """Return the state of workers, Redis and history."""
        return await self.by(operator).deployment.status()

    async def reload(self, operator: Admin) -> ServerState:
        """Check the configuration, then replace the workers one by one, as SIGHUP does."""
        return await self.by(operator).deployment.reload()

    async def rotate_issuer(self, operator: Admin, body: IssuerRotation | None = None) -> IssuerKeyDocument:
        """Publish a new signing key, and sign with it later."""
        return await self.by(operator).deployment.rotate_issuer((body or IssuerRotation()).lead_seconds)

    async def history(self, operator: Viewer) -> HistoryState:
        """Return how far each stream is archived and trimmed."""
        return await self.by(operator).deployment.history()

    async def prune_history(self, operator: Admin, body: Pruning) -> PrunedStreams:
        """Delete the events of old months from the history; their usage and the sums of wallets stay."""
        return await self.by(operator).deployment.prune_history(body)

    async def forget_export_group(self, operator: Admin, body: GroupName) -> ForgottenGroup:
        """Remove an export group that nobody runs any more, so that nothing is kept for it."""
        return await self.by(operator).deployment.forget_export_group(body)

    async def adopt_history(self, operator: Admin) -> HistoryIdentity:
        """Make this the history of this Redis, in place of one that is lost."""
        return await self.by(operator).deployment.adopt_history()
