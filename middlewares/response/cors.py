"""Cross-origin requests from browsers (WHATWG Fetch section 3.3): preflights and the fields of real answers.

Off until an origin is configured: then a preflight is a request like any other, and no answer carries these fields.
Credentials are never allowed: keys travel in a header that a page sets, not in cookies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.access import Cors
from middlewares.exchange import Headers

METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"


class CorsRules:
    """The configured rules, rendered once. At least one origin is configured."""

    __slots__ = ("_allowed", "_any", "_expose", "_preflight")

    def __init__(self, config: Cors) -> None:
        self._any = "*" in config.allow_origins
        self._allowed = frozenset(origin.encode() for origin in config.allow_origins)
        self._expose = _joined(b"access-control-expose-headers", config.expose_headers)
        self._preflight: Headers = [
            (b"access-control-allow-methods", METHODS),
            *_joined(b"access-control-allow-headers", config.allow_headers),
            (b"access-control-max-age", b"%d" % config.max_age),
        ]

    def preflight(self, scope: Mapping[str, Any]) -> Headers | None:
        """What a preflight's answer says beside `fields`; None: this is none, or not the gate's to answer."""
        if scope["method"] != "OPTIONS":
            return None
        asked = dict(scope["headers"])
        if b"origin" not in asked or b"access-control-request-method" not in asked:
            return None
        return self._preflight if self._origin(asked[b"origin"]) else []

    def fields(self, scope: Mapping[str, Any]) -> Headers:
        """The fields of the answer to this request."""
        asking = next((value for name, value in scope["headers"] if name == b"origin"), b"")
        origin = self._origin(asking)
        # Where answers differ by origin caches must know it, also from those that name none.
        vary = [] if self._any else [(b"vary", b"Origin")]
        return [*origin, *self._expose, *vary] if origin else vary

    def _origin(self, asking: bytes) -> Headers:
        if self._any:
            return [(b"access-control-allow-origin", b"*")]
        return [(b"access-control-allow-origin", asking)] if asking in self._allowed else []


def _joined(name: bytes, values: tuple[str, ...]) -> Headers:
    return [(name, ", ".join(values).encode())] if values else []
