"""Serves the page, its script and its style sheet. All of it comes from here: nothing is loaded from another origin.

The page names its files and the schema relative to itself, so that it works behind any origin.
"""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

DOCS_PATH = "/api/v1/docs"
_FILES = {
    DOCS_PATH: ("page.html", "text/html; charset=utf-8"),
    f"{DOCS_PATH}/page.js": ("page.js", "text/javascript; charset=utf-8"),
    f"{DOCS_PATH}/page.css": ("page.css", "text/css; charset=utf-8"),
}
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def documentation_routes() -> list[BaseRoute]:
    """Return the routes of the page, which needs no credential, as the schema needs none."""
    return [_route(path, *named) for path, named in _FILES.items()]


def _route(path: str, name: str, media_type: str) -> Route:
    content = (files(__package__) / name).read_bytes()

    async def serve(_: Request) -> Response:
        return Response(content, media_type=media_type, headers=_HEADERS)

    return Route(path, serve)
