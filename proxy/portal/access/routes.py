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
from proxy.portal.access.cookies import SessionCookie, is_form_token
from proxy.portal.access.forms import (
    TOKEN_FIELD,
    Fields,
    FilterRefused,
    Mistake,
    check_same_origin,
    form_refused,
    read_fields,
)
from proxy.portal.access.sent_forms import FormRepeated


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

    `again`, the page of the form, shows what was typed where that is refused (400, 409): browsers have forgotten it.
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
            if again is None or refusal.status not in (400, 409) or isinstance(refusal, FormRepeated):
                raise
            return await _shown_again(
                request, replace(visitor, mistake=Mistake(refusal.detail, fields)), again, refusal
            )

    return Route(path, endpoint, methods=["POST"])


async def _shown_again(
    request: Request, visitor: Visitor, page: Callable[[Visitor], Awaitable[Response]], refusal: Refusal
) -> Response:
    """Return the page with the mistake of the visitor."""
    response = await page(visitor)
    exchange: Exchange = request.scope["tollgate.exchange"]
    exchange.end(Outcome.REFUSED, refusal.code, refusal.status)
    response.status_code = refusal.status
    return response
