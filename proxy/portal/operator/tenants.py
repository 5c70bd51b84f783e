"""The tenants: all of them, and one with what an operator can do about it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from proxy.api.admin.documents import AppChange
from proxy.api.admin.endpoints import AppEndpoints
from proxy.api.admin.ledger_documents import CreditChange, CreditGrant
from proxy.api.admin.ledger_endpoints import CreditEndpoints
from proxy.api.admin.operations.errors import ActRefused
from proxy.api.admin.people_documents import NewMember
from proxy.api.admin.people_endpoints import MemberEndpoints
from proxy.portal.access.forms import FieldRefused, typed
from proxy.portal.operator.fields import developer_id_of, document_of
from proxy.portal.operator.visits import HOME, OperatorForm, OperatorVisit, OperatorVisits
from proxy.portal.pages import Pages, see_other
from proxy.portal.services import PortalServices
from proxy.portal.tenant.key_fields import atomic_units
from proxy.portal.words import MEMBER_ROLES
from proxy.reporting.tables import readable_amount

TENANTS = f"{HOME}/tenants"
_LIMIT = 50
_LONGEST_SEARCH = 100


class TenantPages:
    """Apps, as `tollgate apps`, `credits` and `members` show and change them."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    def routes(self, visits: OperatorVisits) -> Sequence[Route]:
        """Return the routes."""
        one = f"{TENANTS}/{{client_id}}"
        apps, credits_, members = AppEndpoints, CreditEndpoints, MemberEndpoints
        return (
            visits.page(TENANTS, self.show_all, apps.page),
            visits.page(one, self.show, apps.get),
            visits.form(f"{one}/plan", self.change_plan, apps.change, action="app.change", kind="app", again=self.show),
            visits.form(f"{one}/suspend", self.suspend, apps.suspend, action="app.suspend", kind="app"),
            visits.form(f"{one}/resume", self.resume, apps.resume, action="app.resume", kind="app"),
            visits.form(
                f"{one}/grant", self.grant, credits_.grant, action="credits.add", kind="wallet", again=self.show
            ),
            visits.form(
                f"{one}/debit", self.debit, credits_.debit, action="credits.debit", kind="wallet", again=self.show
            ),
            visits.form(
                f"{one}/members", self.put_member, members.put, action="member.add", kind="member", again=self.show
            ),
            visits.form(
                *(f"{one}/members/{{developer_id}}/remove", self.remove_member, members.remove),
                action="member.remove",
                kind="member",
            ),
        )

    async def show_all(self, visit: OperatorVisit) -> Response:
        """Show a page of the tenants by client id, of those whose name or id has what is searched for."""
        query = visit.request.query_params
        text, after = query.get("search", "").strip()[:_LONGEST_SEARCH], query.get("after", "")
        found, following = await self._services.developers.apps.search(text, after, _LIMIT)
        chosen = {"search": text} if text else {}
        return self._pages.show(
            "operator/tenants.html",
            visit,
            tenants=found,
            search=text,
            first=not after,
            beginning=f"{TENANTS}?{urlencode(chosen)}" if chosen else TENANTS,
            following=f"{TENANTS}?{urlencode({**chosen, 'after': following})}" if following else "",
        )

    async def show(self, visit: OperatorVisit) -> Response:
        """Show one tenant, with the forms that the operator's role may send."""
        operations, client_id = visit.operations, visit.client_id
        return self._pages.show(
            "operator/tenant.html",
            visit,
            tenant=await operations.apps.get(client_id),
            wallet=await operations.credits.show(client_id, None),
            with_shares=self._services.settings.ledger.commit == "group",
            usage=await operations.reports.usage(client_id, None, None, []),
            members=(await operations.members.list(client_id)).items,
            plans=sorted(self._services.settings.all_plans()),
            roles=MEMBER_ROLES,
            values=_values(visit),
            may_change=visit.may(AppEndpoints.change),
            may_suspend=visit.may(AppEndpoints.suspend),
        )

    async def change_plan(self, form: OperatorForm) -> Response:
        """Put the app on another plan, from the next request on."""
        await form.visit.operations.apps.change(
            form.visit.client_id, document_of(AppChange, {"plan": form.fields.get("plan", "")})
        )
        return _back(form)

    async def suspend(self, form: OperatorForm) -> Response:
        """Refuse all requests of the app from now on."""
        await form.visit.operations.apps.set_status(form.visit.client_id, "suspended")
        return _back(form)

    async def resume(self, form: OperatorForm) -> Response:
        """Let the app work again."""
        await form.visit.operations.apps.set_status(form.visit.client_id, "active")
        return _back(form)

    async def grant(self, form: OperatorForm) -> Response:
        """Add credits to the wallet of the app, once for each reference."""
        change = document_of(CreditGrant, self._change(form))
        await form.visit.operations.credits.grant(form.visit.client_id, None, change)
        return _back(form)

    async def debit(self, form: OperatorForm) -> Response:
        """Take credits out of the wallet of the app, once for each reference."""
        change, credits_ = document_of(CreditChange, self._change(form)), form.visit.operations.credits
        try:
            await credits_.debit(form.visit.client_id, None, change)
        except ActRefused as error:
            if error.code != "insufficient_balance":
                raise
            wallet, currency = await credits_.show(form.visit.client_id, None), self._services.settings.currency
            amount, available, granted = (
                readable_amount(int(each), currency) for each in (change.amount, wallet.available, wallet.granted)
            )
            message = f"{amount} cannot be taken out: {available} of {granted} are available"
            raise ActRefused(error.code, message) from None
        return _back(form)

    async def put_member(self, form: OperatorForm) -> Response:
        """Make a developer a member of the app, or change the role it has there."""
        fields = form.fields
        member = document_of(NewMember, {"role": fields.get("role", "")})
        developer = developer_id_of(fields.get("developer", ""))
        if await self._services.developers.developers.get(developer) is None:
            raise FieldRefused("developer", 404, "unknown_id", "There is no developer of this id.")
        await form.visit.operations.members.put(form.visit.client_id, developer, member.role)
        return _back(form)

    async def remove_member(self, form: OperatorForm) -> Response:
        """End a membership."""
        developer = developer_id_of(form.path["developer_id"])
        await form.visit.operations.members.remove(form.visit.client_id, developer)
        return _back(form)

    def _change(self, form: OperatorForm) -> dict[str, str]:
        """Return the members of a change of a wallet. Raises `Refusal` (400) for an amount that is none."""
        fields = form.fields
        amount = atomic_units(fields.get("amount", ""), self._services.settings.currency, "Amount")
        return {"amount": str(amount), "reference": fields.get("reference", ""), "note": fields.get("note", "")}


def _values(visit: OperatorVisit) -> dict[str, dict[str, str]]:
    """Return what stands in each form. What was typed stands in its own alone: nobody grants what was to be taken."""
    sent = visit.request.url.path.rpartition("/")[2]
    fields = {"members": {"developer": "", "role": ""}}
    for act in ("grant", "debit"):
        fields[act] = {"amount": "", "note": "", "reference": f"portal-{secrets.token_hex(6)}"}
    return {act: typed(visit.mistake if act == sent else None, each) for act, each in fields.items()}


def _back(form: OperatorForm) -> Response:
    return see_other(f"{TENANTS}/{form.visit.client_id}")
