"""Every route of operators, as the application names them: its role is that of the admin API, its forms are ours."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from middlewares.auth.records import Role
from proxy.api.admin.application import required_role
from tests.api.admin.test_roles import application
from tests.portal.browser import new_browser
from tests.portal.operator.conftest import HOME, ROLES, House, token_of
from tests.portal.test_forms import FOREIGN, served_application

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]

LIKE = {
    "/tenants/{client_id}/plan": "change_app",
    "/tenants/{client_id}/suspend": "suspend_app",
    "/tenants/{client_id}/resume": "resume_app",
    "/tenants/{client_id}/grant": "grant_credits",
    "/tenants/{client_id}/debit": "debit_credits",
    "/tenants/{client_id}/members": "add_member",
    "/tenants/{client_id}/members/{developer_id}/remove": "remove_member",
    "/tenants/{client_id}/look": "get_app",
    "/impersonation/end": "get_app",
    "/attention/{client_id}/{event_id}": "resolve_attention",
    "/gateways/drain": "drain_gateway",
    "/gateways/resume": "resume_gateway",
    "/streams/end": "suspend_app",
    "/sessions/end-all": "list_apps",
    "/sessions/{session_id}/end": "list_apps",
    "/sign-out": "list_apps",
}
"""Forms, each with the route of the admin API that does the same, or as much."""
NAMES = {
    "client_id": f"app_{'a' * 16}",
    "developer_id": f"dev_{'a' * 16}",
    "session_id": "a" * 16,
    "event_id": "x",
    "request_id": "x",
}


def routes() -> dict[tuple[str, str], Role]:
    """Return the role that each route of operators takes."""
    found: dict[tuple[str, str], Role] = served_application().state.operator_roles
    return found


def forms() -> dict[str, Role]:
    """Return the paths of all forms, with the role that each takes."""
    return {path: role for (method, path), role in routes().items() if method == "POST"}


async def test_every_route_has_a_role() -> None:
    served = {
        (method, each.path)
        for each in served_application().routes
        if isinstance(each, Route) and each.path.startswith(HOME)
        for method in (each.methods or set()) - {"HEAD"}
    }
    link = f"{HOME}/sign-in/{{secret}}"
    assert served - {("GET", link), ("POST", link)} == set(routes())
    assert len(served) > 25


async def test_every_form_takes_the_role_of_the_admin_api() -> None:
    roles = {route.name: required_role(route) for route in application().routes if isinstance(route, APIRoute)}
    assert {path.removeprefix(HOME): role for path, role in forms().items()} == {
        path: roles[name] for path, name in LIKE.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
async def test_no_form_is_taken_from_a_role_that_is_too_low(house: House, role: Role) -> None:
    browser = await house.fresh(role)
    token = await token_of(browser)
    low = [path for path, needed in forms().items() if not role.covers(needed)]
    assert bool(low) == (role is not Role.ADMIN)
    for path in low:
        response = await browser.send(path.format_map(NAMES), {"form_token": token})
        assert response.status_code == 403, path
        assert "may not do this" in response.text


@pytest.mark.slow
async def test_no_form_of_another_page_or_session_is_taken(house: House) -> None:
    browser, other = await house.fresh(Role.ADMIN), await house.fresh(Role.ADMIN)
    token, foreign = await token_of(browser), await token_of(other)
    for path in forms():
        where = path.format_map(NAMES)
        for headers in FOREIGN:
            sent = {name: value.replace("own", browser.origin) for name, value in headers.items()}
            assert (await browser.send(where, {"form_token": token}, sent)).status_code == 403, (path, headers)
        for fields in ({"name": "n"}, {"form_token": ""}, {"form_token": foreign}):
            assert (await browser.send(where, fields)).status_code == 403, path
    assert (await browser.get(HOME)).status_code == 200, "it was not signed out, either"


async def test_no_route_is_for_members_or_for_nobody(house: House) -> None:
    member, nobody = await house.tenant.member("owner"), new_browser(house.deployment)
    token = await member.form_token()
    for method, path in routes():
        where = path.format_map(NAMES)
        if method == "GET":
            assert (await member.get(where)).status_code == 403, path
            assert (await nobody.get(where)).headers["location"] == "/portal/sign-in", path
        else:
            assert (await member.send(where, {"form_token": token})).status_code == 403, path
            assert (await nobody.send(where, {"form_token": token})).status_code == 401, path
