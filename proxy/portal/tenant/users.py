"""Users of an app: list, add, look at one, suspend and resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote, urlencode

from starlette.responses import Response
from starlette.routing import Route

from middlewares.auth.records import UserRecord
from middlewares.auth.user_fields import LONGEST_EMAIL, LONGEST_EXTERNAL_ID, is_email
from middlewares.exchange import Refusal
from middlewares.ledger.credit import prepaid
from proxy.control.audit.line import AuditTarget
from proxy.control.users import Users
from proxy.identity.token_issuer import USERS_READ, USERS_WRITE
from proxy.portal.access.forms import USER_FIELD, FieldRefused, FilterRefused, typed
from proxy.portal.access.visits import Submission, Visit, Visits
from proxy.portal.pages import Pages, see_other
from proxy.portal.services import PortalServices
from proxy.portal.tenant.key_fields import in_order
from proxy.portal.tenant.overview import APP
from proxy.reporting.dates import Days, month_so_far, redis_today
from proxy.reporting.totals import read_usage
from proxy.reporting.user_usage import UserUsage, dimensions_for, usage_by_user

_SHOWN = 100
_NAME_FIELD = "external_id"
_STATUSES: Mapping[str, Literal["active", "suspended"]] = {"active": "active", "suspended": "suspended"}


@dataclass(frozen=True, slots=True)
class UserRow:
    """One user of the page, with what it used this month."""

    record: UserRecord
    usage: UserUsage


class UserPages:
    """End users, for whom the app has keys and tokens."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._services = services
        self._users = services.users
        self._pages = pages

    def routes(self, visits: Visits) -> Sequence[Route]:
        """Return the routes. A user is named by its user id; whoever searches may write the external id."""
        path, one = f"{APP}/users", f"{APP}/users/{{user_id}}"
        return (
            visits.page(path, self.show_all, USERS_READ),
            visits.form(path, self.create, action="user.create", kind="user", scope=USERS_WRITE, again=self.show_all),
            visits.page(one, self.show, USERS_READ),
            visits.form(
                f"{one}/email", self.set_email, action="user.change", kind="user", scope=USERS_WRITE, again=self.show
            ),
            visits.form(f"{one}/status", self.set_status, action="user.change", kind="user", scope=USERS_WRITE),
        )

    async def show_all(self, visit: Visit) -> Response:
        """Show a page of users; whoever searches for one comes to it."""
        query, app, path = visit.request.query_params, visit.client_id, _path(visit)
        wanted = query.get(USER_FIELD, "")[:LONGEST_EXTERNAL_ID]
        if wanted and visit.mistake is None:
            found = await user_of(self._users, app, wanted)
            if found is not None:
                return see_other(f"{path}/{quote(found.user_id, safe='')}")
            if wanted.strip():
                raise FilterRefused(USER_FIELD, _unknown().detail, 404)
        after = query.get("after", "")[:LONGEST_EXTERNAL_ID]
        records, following = await self._users.page(app, after, _SHOWN)
        month = await self._month()
        used = usage_by_user(await read_usage(self._services.sources, app, month, dimensions_for(()))).users
        return self._pages.show(
            "users.html",
            visit,
            month=month,
            first=not after,
            rows=[UserRow(each, used.get(each.user_id) or UserUsage()) for each in records],
            users_path=path,
            wanted=wanted,
            following=f"{path}?{urlencode({'after': following})}" if following else "",
            values=typed(visit.mistake, {_NAME_FIELD: "", "email": ""}),
            longest_name=LONGEST_EXTERNAL_ID,
            longest_email=LONGEST_EMAIL,
            existing=await self._existing(visit),
        )

    async def show(self, visit: Visit) -> Response:
        """Show one user: its credits, its month and its keys."""
        services, app, user = self._services, visit.client_id, await self._user(visit)
        month = await self._month()
        usage = usage_by_user(
            await read_usage(services.sources, app, month, dimensions_for(()), user=user.user_id), only=user.user_id
        ).total
        records = await services.api_keys.list(app)
        keys = in_order((each for each in records if each.user == user.user_id), datetime.now(UTC))
        return self._pages.show(
            "user.html",
            visit,
            user=user,
            month=month,
            usage=usage,
            units=usage.units_used,
            balance=await prepaid.balance(services.runner, services.sources.keys, app, user.user_id),
            values=typed(visit.mistake, {"email": user.email or ""}),
            keys=keys[:_SHOWN],
            hidden=len(keys[_SHOWN:]),
            users_path=_path(visit),
            longest_name=LONGEST_EXTERNAL_ID,
            longest_email=LONGEST_EMAIL,
        )

    async def create(self, form: Submission) -> Response:
        """Add a user. Raises `Refusal`: 409 where one has the external id already, which stays as it is."""
        name, email = form.fields.get(_NAME_FIELD, ""), form.fields.get("email", "")
        if not 0 < len(name) <= LONGEST_EXTERNAL_ID or not name.isprintable():
            detail = f"External id: expected 1 to {LONGEST_EXTERNAL_ID} characters and no control characters."
            raise Refusal(400, "invalid_parameter", detail)
        user, created = await self._users.create(form.visit.client_id, name, email=_email(email) if email else None)
        form.act.target = AuditTarget("user", user.user_id, user.app)
        form.act.detail["created"] = created
        if not created:
            raise FieldRefused(_NAME_FIELD, 409, "user_exists", "There is already a user of this name.")
        return see_other(f"{_path(form.visit)}/{user.user_id}")

    async def set_email(self, form: Submission) -> Response:
        """Change the email address."""
        user = await self._target(form)
        await self._users.change(user, email=_email(form.fields.get("email", "")))
        form.act.detail["email_changed"] = True
        return see_other(f"{_path(form.visit)}/{user.user_id}")

    async def set_status(self, form: Submission) -> Response:
        """Refuse the keys and tokens of a user from now on, or let them work again."""
        user, status = await self._target(form), _STATUSES.get(form.fields.get("status", ""))
        if status is None:
            raise Refusal(400, "invalid_parameter", "Status: expected active or suspended.")
        form.act.detail["status"] = status
        await self._users.change(user, status=status)
        return see_other(f"{_path(form.visit)}/{user.user_id}")

    async def _existing(self, visit: Visit) -> str:
        """Return the user id of whoever has the name that was typed for a new user; empty: nobody."""
        if visit.mistake is None or visit.mistake.field != _NAME_FIELD:
            return ""
        found = await self._users.find(visit.client_id, visit.mistake.fields.get(_NAME_FIELD, ""))
        return found.user_id if found else ""

    async def _month(self) -> Days:
        today = await redis_today(self._services.sources.client)
        return month_so_far(today)

    async def _target(self, form: Submission) -> UserRecord:
        user = await self._user(form.visit)
        form.act.target = replace(form.act.target, id=user.user_id)
        return user

    async def _user(self, visit: Visit) -> UserRecord:
        found = await self._users.get(visit.client_id, visit.request.path_params["user_id"])
        if found is None:
            raise _unknown()
        return found


async def user_of(users: Users, app: str, text: str) -> UserRecord | None:
    """Return the user whom a field names: with the spaces around it where there is one of that name, else without."""
    return await users.resolve(app, text) or (await users.resolve(app, text.strip()) if text.strip() != text else None)


def _path(visit: Visit) -> str:
    return f"/portal/apps/{visit.client_id}/users"


def _email(text: str) -> str:
    if not is_email(text):
        raise Refusal(400, "invalid_parameter", "Email: expected an address such as ann@example.com.")
    return text


def _unknown() -> Refusal:
    return Refusal(404, "unknown_id", "The app has no such user.")
