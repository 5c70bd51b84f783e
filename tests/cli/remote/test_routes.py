"""The clients of operations reach the routes of the admin API, and leave none out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from enum import Enum
from inspect import getmembers, isfunction, signature
from itertools import product
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import Match

from proxy.api.admin.operations.errors import ActRefused
from proxy.api.admin.operations.ports import Operations
from proxy.cli.remote.client import AdminClient
from proxy.cli.remote.operations import RemoteOperations
from tests.api.admin.test_roles import UNKNOWN, application

GIVEN = {**UNKNOWN, "name": "Ann", "lead_seconds": 600}


def values(name: str, kind: Any) -> list[Any]:
    """Return arguments for a parameter: all that may lead to another route."""
    if name in GIVEN and NoneType not in get_args(kind):
        return [GIVEN[name]]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if NoneType in get_args(kind):
        return [None, *values(name, next(each for each in get_args(kind) if each is not NoneType))]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind.model_construct()]
    return [next(iter(kind)) if isinstance(kind, type) and issubclass(kind, Enum) else kind()]


def calls(operations: RemoteOperations) -> Iterator[Awaitable[Any]]:
    """Yield every operation, begun, with each of its arguments."""
    for group in (name for name, each in vars(Operations).items() if isinstance(each, property)):
        served = getattr(operations, group)
        for name, method in getmembers(type(served), isfunction):
            if not name.startswith("_"):
                _, *wanted = signature(method, eval_str=True).parameters.values()
                for given in product(*(values(each.name, each.annotation) for each in wanted)):
                    yield getattr(served, name)(*given)


async def begun(call: Awaitable[Any]) -> None:
    """Send the request of a call."""
    result = await call
    if isinstance(result, AsyncIterator):
        await anext(result)


def reached(routes: list[APIRoute], request: httpx.Request) -> str:
    """Return the name of the route that a request reaches."""
    scope = {"type": "http", "method": request.method, "path": request.url.path, "headers": []}
    return next(each.name for each in routes if each.matches(scope)[0] is Match.FULL)


async def test_operations_and_routes_are_one_to_one() -> None:
    """Hazard: a client that calls what no server has, or a route that commands cannot reach."""
    sent: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(404, json={"code": "unknown_id", "detail": "there is none"})

    http = httpx.AsyncClient(base_url="http://tollgate.example", transport=httpx.MockTransport(refuse))
    count = 0
    for count, call in enumerate(calls(RemoteOperations(AdminClient(http))), 1):  # noqa: B007 - asserted below
        with pytest.raises(ActRefused, match="there is none"):
            await begun(call)
    routes = [each for each in application().routes if isinstance(each, APIRoute)]
    assert len(sent) == count
    assert {reached(routes, each) for each in sent} == {each.name for each in routes}
