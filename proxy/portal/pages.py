"""Renders templates, with the headers that every page has."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.runtime import Currency
from config.workloads import SaleUnit
from middlewares.exchange import Refusal
from proxy.history.places import BadPlace, TimePlace, place_of
from proxy.portal import words
from proxy.portal.access.edits import FILLED_WITH
from proxy.portal.access.forms import TOKEN_FIELD
from proxy.portal.access.sent_forms import FORM_ID_FIELD, new_form_id
from proxy.reporting.tables import grouped, readable_amount

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'nonce-{nonce}'",
        "connect-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""What a page may load: our own files, and the scripts that carry the nonce of this very response."""
_NO_SCRIPT = CONTENT_SECURITY_POLICY.replace("'nonce-{nonce}'", "'none'")
_ALWAYS = {
    "content-security-policy": _NO_SCRIPT,
    # With `no-referrer` browsers send `Origin: null` with a form, and every form would look forged.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
PAGE_HEADERS = {**_ALWAYS, "cache-control": "no-store"}
"""Headers of every page, and of what is downloaded from one."""
_TENANT_PAGES = (
    ("Overview", ""),
    ("Keys", "/keys"),
    ("Users", "/users"),
    ("Usage", "/usage"),
    ("Requests", "/requests"),
    ("Statements", "/statements"),
    ("Webhooks", "/webhooks"),
    ("Try it", "/try"),
    ("Audit", "/audit"),
)
"""Names of the pages of an app, and where they are below its path."""
_HTMX = "htmx-4.0.1.min.js"
HTMX_INTEGRITY = "sha384-Qp9rdC8H7EqOoX+nR0P3RPG2Noji+qdwJlGpfzwQJsfOpp3sGwIdSP9xO3+UlEhn"
"""What a browser checks before it runs htmx, and a test against the file."""
_LONGEST_PLACE = 2_000
_STATIC = {
    "portal.css": "text/css; charset=utf-8",
    "mark.svg": "image/svg+xml",
    "portal.js": "text/javascript; charset=utf-8",
    _HTMX: "text/javascript; charset=utf-8",
    "wallet.js": "text/javascript; charset=utf-8",
}


class Pages:
    """Shows templates. What is put into one is escaped, whoever wrote it."""

    def __init__(self, currency: Currency) -> None:
        self._currency = currency
        self._environment = Environment(
            loader=PackageLoader("proxy.portal"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            money=self._money, grouped=grouped, counted=self._counted, moment=_moment, **words.FILTERS
        )
        self._environment.globals.update(
            currency=currency,
            token_field=TOKEN_FIELD,
            filled_with_prefix=FILLED_WITH,
            form_id_field=FORM_ID_FIELD,
            new_form_id=new_form_id,
            tenant_pages=_TENANT_PAGES,
            htmx=_HTMX,
            htmx_integrity=HTMX_INTEGRITY,
        )

    def show(
        self,
        template: str,
        visit: object | None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **found: Any,
    ) -> Response:
        """Return a page for a visit of a member or an operator; None: for whoever is not signed in."""
        nonce = secrets.token_urlsafe(16)
        text = self._environment.get_template(template).render(visit=visit, nonce=nonce, **found)
        policy = {"content-security-policy": CONTENT_SECURITY_POLICY.format(nonce=nonce)}
        all_headers = {**PAGE_HEADERS, **policy, **(headers or {})}
        return Response(text, status, media_type="text/html; charset=utf-8", headers=all_headers)

    def _money(self, amount: int | str) -> str:
        """Return atomic units as people read them: exact, with the code of the currency."""
        return readable_amount(int(amount), self._currency)

    def _counted(self, number: str, unit: str) -> str:
        """Return how much of a unit, or of money, a limit counts."""
        return self._money(number) if unit == SaleUnit.AMOUNT else words.quantity(number, unit)


def see_other(path: str) -> Response:
    """Return a redirection to a page of the portal, after which going back repeats no form."""
    return Response(status_code=303, headers={**PAGE_HEADERS, "location": path})


def place_in(request: Request, name: str) -> TimePlace | None:
    """Return the place between two pages that a parameter of the query names; None: there is none.

    Raises `Refusal` (400).
    """
    text = request.query_params.get(name, "")
    try:
        return place_of(text[:_LONGEST_PLACE], TimePlace) if text else None
    except BadPlace:
        raise Refusal(400, "invalid_parameter", f"{name} must be what a page has named as `next`.") from None


def sign_in_first(request: Request, path: str) -> Response:
    """Return what leads a browser to `path`, where one signs in.

    htmx would put the page that a redirection leads to in the place of a part of this one; its own header it obeys.
    """
    if request.headers.get("hx-request") == "true":
        return Response(status_code=401, headers={**PAGE_HEADERS, "hx-redirect": path})
    return see_other(path)


def static_routes() -> list[Route]:
    """Return the routes of the style sheet, the scripts and the mark, which need no session."""
    return [_static(name, media_type) for name, media_type in _STATIC.items()]


def _static(name: str, media_type: str) -> Route:
    content = (files(__package__) / "static" / name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**_ALWAYS, "cache-control": "no-cache", "etag": tag}

    async def serve(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    return Route(f"/portal/static/{name}", serve, methods=["GET"])


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
