"""Routes that write an audit line: whatever changes something says what it did, also where it was refused."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from proxy.control.audit.line import ActOutcome, AuditTarget, Result
from proxy.control.audit.log import Act, AuditLog

ACTION = "x-audit-action"
"""Member of an operation in the schema: the action of its audit line."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class AuditedRoute(APIRoute):
    """A route that, if its operation names an action, writes one line for each request of a known caller."""

    def get_route_handler(self) -> Handler:
        """Return the handler, inside of the act where there is an action."""
        handle = super().get_route_handler()
        action = (self.openapi_extra or {}).get(ACTION)
        return handle if action is None else _audited(handle, action)


def _audited(handle: Handler, action: str) -> Handler:
    kind = action.partition(".")[0]

    async def audited(request: Request) -> Response:
        audit: AuditLog = request.app.state.audit
        async with audit.act(None, action, AuditTarget(kind, "")) as act:
            request.state.act = act
            try:
                return await handle(request)
            except RequestValidationError:
                act.result = Result(ActOutcome.REFUSED, "invalid_parameter")
                raise

    return audited


def _current(request: Request) -> Act:
    act: Act = request.state.act
    return act


CurrentAct = Annotated[Act, Depends(_current)]
"""The act that the request is: an endpoint says in it which record it is about, and details."""
