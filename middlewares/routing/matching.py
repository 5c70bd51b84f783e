"""Finding the row of the route table that a path belongs to. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from middlewares.routing.route import Route

_NAME = rb"[A-Za-z0-9._-]{1,200}"
_ANYTHING = {"path": rb".+", "any": rb".*", "file": rb".*"}
"""Placeholders that match anything; every other one matches the name of a manifest, stream or session."""
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_IS_NAME = re.compile(_NAME)


class RouteMatcher:
    """Finds routes by their paths, percent-encoded and without a query."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.exact: dict[bytes, Route] = {}
        """Routes by path, where that is fixed; a request target that is one of these is known to be well-formed."""
        by_prefix: dict[bytes, list[tuple[re.Pattern[bytes], Route]]] = {}
        for route in routes:
            for path in route.paths:
                if "{" in path:
                    prefix = path.partition("{")[0].encode()
                    by_prefix.setdefault(prefix, []).append((_pattern(path), route))
                else:
                    self.exact[path.encode()] = route
        self._by_prefix = sorted(by_prefix.items(), key=lambda item: len(item[0]), reverse=True)

    def find(self, path: bytes) -> Route | None:
        """Return the route of a path; None: it is no client route.

        The longest text before a placeholder decides: `/live/video-to-video/...` never names a manifest.
        """
        route = self.exact.get(path)
        if route is not None:
            return route
        for prefix, candidates in self._by_prefix:
            if path.startswith(prefix):
                return next((route for pattern, route in candidates if pattern.fullmatch(path)), None)
        return None


def is_name(text: bytes) -> bool:
    """Return True if `text` is a manifest's, stream's or file's name: 1-200 letters, digits, `.`, `_`, `-`."""
    return _IS_NAME.fullmatch(text) is not None


def _pattern(path: str) -> re.Pattern[bytes]:
    """Return what a path with placeholders matches."""
    parts = _PLACEHOLDER.split(path)  # text and placeholder in turn
    literals, names = parts[::2], parts[1::2]
    pattern = re.escape(literals[0].encode())
    for name, literal in zip(names, literals[1:], strict=True):
        pattern += _ANYTHING.get(name, _NAME) + re.escape(literal.encode())
    return re.compile(pattern, re.DOTALL)
