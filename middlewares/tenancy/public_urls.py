"""Rewriting of a gateway's own URLs to the public origin, under which clients reach Tollgate. Pure.

Origins inside the operator's network are nobody else's business: a URL that leads there becomes a public one, or goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from middlewares.exchange import Headers

URL_HEADERS = frozenset({b"location", b"content-location", b"livepeer-playback-url"})
"""Headers that hold a URL (gateway contract section 2)."""
ORCHESTRATOR_MEMBERS = frozenset({"orchestrator", "orchestrator_info"})
"""Members of a stream's status that say which orchestrator serves it, by its URL."""
ERROR_MEMBERS = frozenset({"error", "error_message", "last_error"})
"""Members of a stream's status that hold the text of an error."""
HIDDEN = "[internal]"
"""Stands in a text in place of an address."""
PART = 8_192
"""Characters of a text that are searched in one go, for a search keeps the interpreter to itself."""

_SERVED = ("/live/", "/process/", "/recordings/", "/stream/")
"""Prefixes below which Tollgate has the gateway's own paths."""
_MEDIA_SCHEMES = frozenset({"rtmp", "rtmps", "rtsp", "srt"})
"""They lead to the machine the gateway runs on, where no client can publish or play."""
_LOOKUP = "lookup "
_JOINED = re.compile(r",(?=[a-z]+://)")
_ADDRESS = re.compile(
    # Tried once for each run of characters of a scheme: a text may be one such run.
    r"""(?<![A-Za-z0-9+.-])(?P<before>[0-9+.-]*+)(?P<url>[A-Za-z][A-Za-z0-9+.-]*+://[^\s"'<>\\(),;]*)"""
    r"""|(?<=\blookup\ )[^\s:]+"""  # Go's resolver names the host that it did not find
    r"""|(?<![\w.])(?:\d{1,3}(?:\.\d{1,3}){3}|localhost|\[[0-9A-Fa-f:.]+\]):\d{1,5}\b""",
    re.VERBOSE,
)


class PublicUrls:
    """Rewrites URLs to `origin`; those of the media server that plays live streams to `media`, else to own WHEP."""

    __slots__ = ("_media", "_origin")

    def __init__(self, origin: str, media: str | None = None) -> None:
        self._origin = origin
        self._media = media

    def rewrite(self, url: str) -> str:
        """Return the public form of a gateway's URL; empty for one that leads to no public place.

        One that leads elsewhere, or is none, stays as it is. Several may be joined by commas.
        """
        joined = _JOINED.split(url)
        if len(joined) > 1:
            return ",".join(filter(None, map(self.rewrite, joined)))
        try:
            parts = urlsplit(url)
            internal = _is_internal(parts.hostname)
        except ValueError:
            return url
        if parts.scheme not in ("http", "https"):
            return "" if parts.scheme in _MEDIA_SCHEMES else url
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        if parts.path.startswith(_SERVED):
            return self._origin + path
        if parts.path.endswith("-out/whep") and parts.path.count("/") == 2:
            return self._media + path if self._media else f"{self._origin}/live/video-to-video{path}"
        return "" if internal else url

    def rewrite_headers(self, headers: Headers) -> Headers:
        """Return the headers of a response with public URLs; those that have none are left out."""
        rewritten = [
            (name, self.rewrite(value.decode("latin-1")).encode("latin-1")) if name in URL_HEADERS else (name, value)
            for name, value in headers
        ]
        return [(name, value) for name, value in rewritten if value or name not in URL_HEADERS]

    def rewrite_document(self, document: object, name: str = "") -> object:
        """Return a JSON document with public URLs in its members that end in `_url`, at any depth.

        Errors are rewritten as texts, and it does not say which orchestrator serves a stream.
        """
        if isinstance(document, dict):
            return {
                member: self.rewrite_document(value, member)
                for member, value in document.items()
                if member not in ORCHESTRATOR_MEMBERS
            }
        if isinstance(document, list):
            return [self.rewrite_document(each, name) for each in document]
        if not isinstance(document, str):
            return document
        if name.endswith("_url"):
            return self.rewrite(document)
        return self.rewrite_text(document) if name in ERROR_MEMBERS else document

    def rewrite_text(self, text: str) -> str:
        """Return a text, as of an error, in which URLs are public and addresses inside the network are hidden."""
        return "".join(_ADDRESS.sub(self._public, part) for part in _parts(text)) if ":" in text else text

    def _public(self, match: re.Match[str]) -> str:
        url = match["url"]
        if url is None:
            return HIDDEN
        public = self.rewrite(url)
        if public == url and _is_addressed(url):
            public = HIDDEN
        return match["before"] + (public or HIDDEN)


def _parts(text: str) -> Iterator[str]:
    """Yield a text in parts of at most `PART` characters, cut behind a blank or a quote if there is one."""
    start = 0
    while start < len(text):
        end = start + PART
        if end < len(text):
            cut = max(text.rfind(each, start, end) for each in ' \n"') + 1
            if text.endswith(_LOOKUP, start, cut):
                cut -= len(_LOOKUP)
            end = cut if cut > start else end
        yield text[start:end]
        start = end


def _is_internal(host: str | None) -> bool:
    """Return True for a host that means nothing, or something else, outside the operator's network."""
    if not host:
        return False
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost", ".svc"))
    return not address.is_global


def _is_addressed(url: str) -> bool:
    """Return True for a URL of a machine, an orchestrator's as a rule: by address, or with a port."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and (parts.port is not None or bool(_number(parts.hostname)))
    except ValueError:
        return True


def _number(host: str | None) -> bool:
    try:
        return bool(host and ip_address(host))
    except ValueError:
        return False
