"""The table of routes of the admin API, one a line: who does what under which name, and its line in the audit log."""

from __future__ import annotations

from proxy.api.admin.audit_documents import SubjectExport
from proxy.api.admin.audit_endpoints import AuditLogEndpoints, SubjectEndpoints
from proxy.api.admin.endpoints import AnyKeyEndpoints, AppEndpoints, EndUserEndpoints, OperatorEndpoints
from proxy.api.admin.gateway_endpoints import GatewayEndpoints
from proxy.api.admin.ledger_endpoints import CreditEndpoints, DeploymentEndpoints, EventEndpoints, ReportEndpoints
from proxy.api.admin.operations.resources import Resources
from proxy.api.admin.people_endpoints import (
    DeveloperEndpoints,
    InviteEndpoints,
    MemberEndpoints,
    OrchestratorEndpoints,
)
from proxy.api.admin.webhook_endpoints import WebhookEndpointRoutes
from proxy.api.json_api import JsonAPI
from proxy.api.webhooks.routes import serve_webhooks

ADMIN_PATH = "/api/v1/admin"
_APP = f"{ADMIN_PATH}/apps/{{client_id}}"
_KEY = f"{ADMIN_PATH}/keys/{{key_id}}"
_USER = f"{_APP}/users/{{user}}"
_MEMBER = f"{_APP}/members/{{developer_id}}"
_DEVELOPER = f"{ADMIN_PATH}/developers/{{developer_id}}"
_EXISTING = {200: {"description": "The user existed already."}}
_KNOWN = {200: {"description": "A developer has the wallet already."}}
_USER_STATUS = ["user.suspend", "user.resume", "user.deactivate"]


def add_routes(api: JsonAPI, resources: Resources) -> None:
    """Add all routes."""
    _add_records(api, resources)
    _add_people(api, resources)
    _add_ledger(api, resources)
    _add_deployment(api, resources)
    serve_webhooks(api, f"{ADMIN_PATH}/webhooks", WebhookEndpointRoutes(resources))


def _add_records(api: JsonAPI, resources: Resources) -> None:
    apps, keys, users = AppEndpoints(resources), AnyKeyEndpoints(resources), EndUserEndpoints(resources)
    api.serve("POST", f"{ADMIN_PATH}/apps", apps.create, name="create_app", status_code=201, audit="app.create")
    api.serve("GET", f"{ADMIN_PATH}/apps", apps.page, name="list_apps")
    api.serve("GET", _APP, apps.get, name="get_app")
    api.serve("PATCH", _APP, apps.change, name="change_app", audit="app.change")
    api.serve("PUT", f"{_APP}/issuer", apps.set_issuer, name="set_app_issuer", audit="app.change")
    api.serve("DELETE", f"{_APP}/issuer", apps.remove_issuer, name="remove_app_issuer", audit="app.change")
    api.serve("POST", f"{_APP}/suspend", apps.suspend, name="suspend_app", audit="app.suspend")
    api.serve("POST", f"{_APP}/resume", apps.resume, name="resume_app", audit="app.resume")
    api.serve("POST", f"{_APP}/secret", apps.rotate_secret, name="rotate_secret", audit="app.rotate_secret")
    api.serve("POST", f"{_APP}/keys", keys.create, name="create_key", status_code=201, audit="key.create")
    api.serve("GET", f"{_APP}/keys", keys.page, name="list_keys")
    api.serve("GET", _KEY, keys.get, name="get_key")
    api.serve("PATCH", _KEY, keys.change, name="change_key", audit="key.change")
    api.serve("POST", f"{_KEY}/rotate", keys.rotate, name="rotate_key", status_code=201, audit="key.rotate")
    api.serve("DELETE", _KEY, keys.revoke, name="revoke_key", audit="key.revoke")
    api.serve(
        *("POST", f"{_APP}/users", users.create),
        name="create_end_user",
        status_code=201,
        responses=_EXISTING,
        audit="user.create",
    )
    api.serve("GET", f"{_APP}/users", users.page, name="list_end_users")
    api.serve("GET", _USER, users.get, name="get_end_user")
    api.serve("PUT", f"{_USER}/status", users.set_status, name="set_end_user_status", audit=_USER_STATUS)


def _add_people(api: JsonAPI, resources: Resources) -> None:
    operators, developers = OperatorEndpoints(resources), DeveloperEndpoints(resources)
    members, invites = MemberEndpoints(resources), InviteEndpoints(resources)
    path = f"{ADMIN_PATH}/operators"
    api.serve("POST", path, operators.create, name="create_operator", status_code=201, audit="operator.create")
    api.serve("GET", path, operators.list, name="list_operators")
    api.serve("DELETE", f"{path}/{{operator_id}}", operators.revoke, name="revoke_operator", audit="operator.revoke")
    api.serve(
        *("POST", f"{path}/{{operator_id}}/portal-link", operators.portal_link),
        name="create_operator_link",
        status_code=201,
        audit="operator.portal_link",
    )
    api.serve(
        *("POST", f"{ADMIN_PATH}/developers", developers.add),
        name="add_developer",
        status_code=201,
        responses=_KNOWN,
        audit="developer.add",
    )
    api.serve("GET", f"{ADMIN_PATH}/developers", developers.page, name="list_developers")
    api.serve("POST", f"{_DEVELOPER}/approve", developers.approve, name="approve_developer", audit="developer.approve")
    api.serve("POST", f"{_DEVELOPER}/suspend", developers.suspend, name="suspend_developer", audit="developer.suspend")
    api.serve("POST", f"{_DEVELOPER}/resume", developers.resume, name="resume_developer", audit="developer.resume")
    api.serve(
        *("POST", f"{_DEVELOPER}/portal-link", developers.portal_link),
        name="create_portal_link",
        status_code=201,
        audit="developer.portal_link",
    )
    api.serve("GET", f"{_APP}/members", members.list, name="list_members")
    api.serve("PUT", _MEMBER, members.put, name="add_member", audit="member.add")
    api.serve("DELETE", _MEMBER, members.remove, name="remove_member", audit="member.remove")
    api.serve("POST", f"{_APP}/invites", invites.create, name="create_invite", status_code=201, audit="invite.create")
    api.serve("GET", f"{ADMIN_PATH}/invites", invites.list, name="list_invites")
    path = f"{ADMIN_PATH}/invites/{{invite_id}}"
    api.serve("DELETE", path, invites.revoke, name="revoke_invite", audit="invite.revoke")


def _add_ledger(api: JsonAPI, resources: Resources) -> None:
    credits_, events, reports = CreditEndpoints(resources), EventEndpoints(resources), ReportEndpoints(resources)
    audit, subjects = AuditLogEndpoints(resources), SubjectEndpoints(resources)
    api.serve("GET", f"{_APP}/credits", credits_.show, name="show_credits")
    api.serve("POST", f"{_APP}/credits/grant", credits_.grant, name="grant_credits", audit="credits.add")
    api.serve("POST", f"{_APP}/credits/debit", credits_.debit, name="debit_credits", audit="credits.debit")
    api.serve("GET", f"{_APP}/events", events.page, name="list_events")
    api.serve("GET", f"{_APP}/events/{{event_id}}", events.get, name="get_event")
    api.serve("GET", f"{ADMIN_PATH}/explain/{{request_id}}", events.explain, name="explain")
    api.serve("GET", f"{_APP}/attention", events.attention, name="list_attention")
    path = f"{_APP}/attention/{{event_id}}"
    api.serve("POST", path, events.resolve, name="resolve_attention", audit="attention.resolve")
    api.serve("GET", f"{_APP}/usage", reports.usage, name="app_usage")
    api.serve("GET", f"{_APP}/statement", reports.statement, name="app_statement")
    api.serve("GET", f"{ADMIN_PATH}/verify", reports.verify, name="verify")
    api.serve("GET", f"{ADMIN_PATH}/audit", audit.page, name="list_audit_lines")
    api.serve("GET", f"{ADMIN_PATH}/audit/verify", audit.verify, name="verify_audit_log")
    api.serve("GET", f"{_APP}/subject", subjects.export, name="export_subject", response_model=SubjectExport)
    api.serve("POST", f"{_APP}/erase", subjects.erase, name="erase_subject", audit="history.erase")


def _add_deployment(api: JsonAPI, resources: Resources) -> None:
    deployment, orchestrators = DeploymentEndpoints(resources), OrchestratorEndpoints(resources)
    gateways = GatewayEndpoints(resources)
    api.serve("GET", f"{ADMIN_PATH}/plans", deployment.plans, name="list_plans")
    api.serve("GET", f"{ADMIN_PATH}/status", deployment.status, name="status")
    api.serve("POST", f"{ADMIN_PATH}/reload", deployment.reload, name="reload", audit="configuration.reload")
    path = f"{ADMIN_PATH}/issuer/rotate"
    api.serve("POST", path, deployment.rotate_issuer, name="rotate_issuer", audit="issuer.rotate")
    api.serve("GET", f"{ADMIN_PATH}/history", deployment.history, name="history_state")
    path = f"{ADMIN_PATH}/history/adopt"
    api.serve("POST", path, deployment.adopt_history, name="adopt_history", audit="history.adopt")
    path = f"{ADMIN_PATH}/history/prune"
    api.serve("POST", path, deployment.prune_history, name="prune_history", audit="history.prune")
    path = f"{ADMIN_PATH}/history/forget-group"
    forget = deployment.forget_export_group
    api.serve("POST", path, forget, name="forget_export_group", audit="history.forget_group")
    path = f"{ADMIN_PATH}/orchestrators"
    api.serve("GET", path, orchestrators.list, name="list_blocked_orchestrators")
    api.serve("POST", f"{path}/block", orchestrators.block, name="block_orchestrator", audit="orchestrator.block")
    api.serve(
        "POST", f"{path}/unblock", orchestrators.unblock, name="unblock_orchestrator", audit="orchestrator.unblock"
    )
    path = f"{ADMIN_PATH}/gateways"
    api.serve("GET", path, gateways.list, name="list_gateways")
    api.serve("POST", f"{path}/drain", gateways.drain, name="drain_gateway", audit="gateway.drain")
    api.serve("POST", f"{path}/resume", gateways.resume, name="resume_gateway", audit="gateway.resume")
