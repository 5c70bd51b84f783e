"""Routes of pages and forms whose visitor is identified first, and whose forms no other page can have sent.

The page of an error finds the visitor in the state of the request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, ClassVar, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from middlewares.exchange import Exchange, Outcome, Refusal
from middlewares.store import StoreError
from proxy.api.admin.operations.errors import ActRefused
from proxy.control.records import UnknownRecord
from proxy.portal.access.cookies import SessionCookie, is_form_token
from proxy.portal.access.forms import (
    TOKEN_FIELD,
    FieldRefused,
    Fields,
    FilterRefused,
    Mistake,
    check_same_origin,
    form_refused,
    read_fields,
)
from proxy.portal.access.sent_forms import FormRepeated
from proxy.store.clients import CLIENT_ERRORS


class Correctable(Protocol):
    """A visit, a dataclass, of a page that may show its form again."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def mistake(self) -> Mistake | None:
        """In the form that the page shows again."""
        ...


Visitor = TypeVar("Visitor", bound=Correctable)
Identify = Callable[[Request], Awaitable[Visitor]]
"""Returns who visits. Raises `Refusal`."""


class SignInNeeded(Refusal):
    """Nobody is signed in, or the session has ended."""

    def __init__(self) -> None:
        super().__init__(401, "session_ended", "Nobody is signed in, or the session has ended.")


def page_route(
    path: str,
    identify: Identify[Visitor],
    show: Callable[[Visitor], Awaitable[Response]],
    *,
    again: Callable[[Visitor], Awaitable[Response]] | None = None,
) -> Route:
    """Return the route of a page. `again`, by default that page, shows the filter where that is refused."""

    async def endpoint(request: Request) -> Response:
        visitor = request.state.visit = await identify(request)
        try:
            return await show(visitor)
        except FilterRefused as refusal:
            mistake = Mistake(refusal.detail, dict(request.query_params), refusal.field)
            return await _shown_again(request, replace(visitor, mistake=mistake), again or show, refusal)

    return Route(path, endpoint, methods=["GET"])


def form_route(
    path: str,
    origin: str,
    cookie: SessionCookie,
    identify: Identify[Visitor],
    take: Callable[[Visitor, Fields], Awaitable[Response]],
    *,
    again: Callable[[Visitor], Awaitable[Response]] | None = None,
) -> Route:
    """Return the route of a form of a page of `origin`, in the very session that the cookie names.

    `again`, the page of the form, shows what was typed where that is refused: browsers have forgotten it.
    """

    async def endpoint(request: Request) -> Response:
        check_same_origin(request, origin)
        visitor = request.state.visit = await identify(request)
        fields = await read_fields(request)
        if not is_form_token(fields.get(TOKEN_FIELD, ""), cookie.read(request)):
            raise form_refused("The form is not of this session; go back, load the page again, and repeat it.")
        try:
            return await take(visitor, fields)
        except Refusal as refusal:
            if again is None or not _is_correctable(refusal):
                raise
            field = refusal.field if isinstance(refusal, FieldRefused) else ""
            mistake = Mistake(refusal.detail, fields, field)
            return await _shown_again(request, replace(visitor, mistake=mistake), again, refusal)

    return Route(path, endpoint, methods=["POST"])


def _is_correctable(refusal: Refusal) -> bool:
    """Return True if another text in the form may be taken: what was typed is wrong, not who has sent it."""
    if isinstance(refusal, FormRepeated):
        return False
    return refusal.status in (400, 404, 409) or refusal.code == "user_suspended"


async def _shown_again(
    request: Request, visitor: Visitor, page: Callable[[Visitor], Awaitable[Response]], refusal: Refusal
) -> Response:
    """Return the page with the mistake of the visitor. Raises the `refusal` itself where that page cannot be made."""
    try:
        response = await page(visitor)
    except (Refusal, ActRefused, UnknownRecord, StoreError, *CLIENT_ERRORS):
        raise refusal from None
    exchange: Exchange = request.scope["tollgate.exchange"]
    exchange.end(Outcome.REFUSED, refusal.code, refusal.status)
    response.status_code = refusal.status
    return response
