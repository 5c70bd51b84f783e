"""The operations on money, events, reports and the deployment, by the routes of the admin API."""

from __future__ import annotations

from urllib.parse import quote

from proxy.api.admin.documents import PlanList
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
from proxy.api.admin.operations.ports import (
    CreditOperations,
    DeploymentOperations,
    EventOperations,
    ReportOperations,
)
from proxy.api.admin.operations.query import EventQuery
from proxy.cli.remote.client import AdminClient, Parameters
from proxy.reporting.explain.documents import Explanation
from proxy.reporting.totals import Dimension


class RemoteCredits(CreditOperations):
    """Prepaid credits, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def grant(self, client_id: str, user: str | None, change: CreditGrant) -> WalletChange:
        path = f"/apps/{client_id}/credits/grant"
        return await self._call("POST", path, WalletChange, body=change, params={"user": user})

    async def debit(self, client_id: str, user: str | None, change: CreditChange) -> WalletChange:
        path = f"/apps/{client_id}/credits/debit"
        return await self._call("POST", path, WalletChange, body=change, params={"user": user})

    async def show(self, client_id: str, user: str | None) -> WalletDocument:
        return await self._call("GET", f"/apps/{client_id}/credits", WalletDocument, params={"user": user})


class RemoteEvents(EventOperations):
    """Usage events, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def page(self, client_id: str, query: EventQuery) -> EventPage:
        return await self._call("GET", f"/apps/{client_id}/events", EventPage, params=_params(query))

    async def get(self, client_id: str, event_id: str) -> EventDocument:
        return await self._call("GET", f"/apps/{client_id}/events/{quote(event_id, safe='')}", EventDocument)

    async def explain(self, request_id: str) -> Explanation:
        return await self._call("GET", f"/explain/{quote(request_id, safe='')}", Explanation)

    async def attention(self, client_id: str, query: EventQuery) -> AttentionPage:
        return await self._call("GET", f"/apps/{client_id}/attention", AttentionPage, params=_params(query))

    async def resolve(self, client_id: str, event_id: str, request: ResolutionRequest) -> Resolution:
        path = f"/apps/{client_id}/attention/{quote(event_id, safe='')}"
        return await self._call("POST", path, Resolution, body=request)


class RemoteReports(ReportOperations):
    """Usage, statements and verification, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def usage(
        self, client_id: str, first: str | None, last: str | None, group_by: list[Dimension]
    ) -> UsageDocument:
        params: Parameters = {"from": first, "to": last, "group_by": [each.value for each in group_by]}
        return await self._call("GET", f"/apps/{client_id}/usage", UsageDocument, params=params)

    async def statement(self, client_id: str, period: str) -> StatementDocument:
        return await self._call("GET", f"/apps/{client_id}/statement", StatementDocument, params={"period": period})

    async def verify(self, client_id: str | None) -> Verification:
        return await self._call("GET", "/verify", Verification, params={"client_id": client_id})


class RemoteDeployment(DeploymentOperations):
    """The deployment itself, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def plans(self) -> PlanList:
        return await self._call("GET", "/plans", PlanList)

    async def status(self) -> ServerState:
        return await self._call("GET", "/status", ServerState)

    async def reload(self) -> ServerState:
        return await self._call("POST", "/reload", ServerState)

    async def rotate_issuer(self, lead_seconds: int) -> IssuerKeyDocument:
        body = IssuerRotation(lead_seconds=lead_seconds)
        return await self._call("POST", "/issuer/rotate", IssuerKeyDocument, body=body)

    async def history(self) -> HistoryState:
        return await self._call("GET", "/history", HistoryState)

    async def adopt_history(self) -> HistoryIdentity:
        return await self._call("POST", "/history/adopt", HistoryIdentity)

    async def prune_history(self, pruning: Pruning) -> PrunedStreams:
        return await self._call("POST", "/history/prune", PrunedStreams, body=pruning)

    async def forget_export_group(self, group: GroupName) -> ForgottenGroup:
        return await self._call("POST", "/history/forget-group", ForgottenGroup, body=group)


def _params(query: EventQuery) -> Parameters:
    return {
        "from": query.first,
        "to": query.last,
        "outcome": query.outcome.value if query.outcome else None,
        "limit": query.limit,
        "after": query.after,
    }
