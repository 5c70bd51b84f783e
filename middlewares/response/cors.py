"""Cross-origin requests from browsers (WHATWG Fetch section 3.3): preflights and the headers of other responses.

Off until an origin is configured: until then a preflight is a request like any other, and no response has these
headers.

A key may be limited to origins. A preflight names no key, so with `key_origins` one of any origin is answered; it
grants nothing. The request itself is refused by the auth stage unless its origin is one of its key's, and then no
header lets the page read why.
Credentials are never allowed: keys travel in a header that a page sets, not in cookies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.access import Cors
from middlewares.exchange import Headers

METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"


class CorsRules:
    """The configured rules, rendered once. At least one origin is configured, or those of keys count."""

    __slots__ = ("_allowed", "_any", "_expose", "_key_origins", "_names", "_prefixes", "_preflight")

    def __init__(self, config: Cors) -> None:
        self._any = "*" in config.allow_origins
        self._key_origins = config.key_origins
        self._allowed = frozenset(origin.encode() for origin in config.allow_origins)
        self._expose = _joined(b"access-control-expose-headers", config.expose_headers)
        self._names = tuple(name for name in config.allow_headers if name == "*" or not name.endswith("*"))
        self._prefixes = tuple(name[:-1].lower() for name in config.allow_headers if name not in self._names)
        self._preflight: Headers = [
            (b"access-control-allow-methods", METHODS),
            (b"access-control-max-age", b"%d" % config.max_age),
        ]

    def preflight(self, scope: Mapping[str, Any]) -> Headers | None:
        """Return the headers of a preflight's response beside `headers`; None: it is no preflight."""
        if scope["method"] != "OPTIONS":
            return None
        requested = dict(scope["headers"])
        if b"origin" not in requested or b"access-control-request-method" not in requested:
            return None
        origin: Headers = []
        if not self._origin(requested[b"origin"]):
            if not self._key_origins:
                return []
            origin = [(b"access-control-allow-origin", requested[b"origin"]), *self._expose]
        names = requested.get(b"access-control-request-headers", b"").decode("latin-1").lower().split(",")
        matching = [name for name in map(str.strip, names) if name.startswith(self._prefixes) and name.isascii()]
        return [*origin, *self._preflight, *_joined(b"access-control-allow-headers", (*self._names, *matching))]

    def headers(self, scope: Mapping[str, Any]) -> Headers:
        """Return the CORS headers of the response to this request."""
        origin_header = next((value for name, value in scope["headers"] if name == b"origin"), b"")
        origin = self._origin(origin_header)
        # Caches must know that responses differ by origin, also those to requests that name none.
        vary = [] if self._any else [(b"vary", b"Origin")]
        return [*origin, *self._expose, *vary] if origin else vary

    def headers_for_key(self, page_origin: bytes) -> Headers:
        """Return the CORS headers of a response to a key that is limited to origins; empty: to none of them."""
        served = page_origin and (self._key_origins or self._any or page_origin in self._allowed)
        allowed = [(b"access-control-allow-origin", page_origin), *self._expose] if served else []
        return [*allowed, (b"vary", b"Origin")]

    def _origin(self, origin_header: bytes) -> Headers:
        if self._any:
            return [(b"access-control-allow-origin", b"*")]
        return [(b"access-control-allow-origin", origin_header)] if origin_header in self._allowed else []


def _joined(name: bytes, values: tuple[str, ...]) -> Headers:
    return [(name, ", ".join(values).encode())] if values else []
