"""Rewriting of a gateway's own URLs to the public origin, under which clients reach Tollgate. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from middlewares.exchange import Headers

URL_HEADERS = frozenset({b"location", b"livepeer-playback-url"})
"""Headers of WHIP responses that hold a URL (gateway contract section 2)."""

_SERVED = ("/live/", "/process/", "/recordings/", "/stream/")
"""Prefixes below which Tollgate has the gateway's own paths."""


class PublicUrls:
    """Rewrites URLs to `origin`; those of the media server that plays live streams to `media`, else to own WHEP."""

    __slots__ = ("_media", "_origin")

    def __init__(self, origin: str, media: str | None = None) -> None:
        self._origin = origin
        self._media = media

    def rewrite(self, url: str) -> str:
        """Return the public form of a gateway's URL; one that leads elsewhere, or is none, stays as it is."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return url
        if parts.scheme == "rtmp":
            return ""  # of the machine the gateway runs on, where no client can publish or play
        if parts.scheme not in ("http", "https"):
            return url
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        if parts.path.startswith(_SERVED):
            return self._origin + path
        if parts.path.endswith("-out/whep") and parts.path.count("/") == 2:
            return self._media + path if self._media else f"{self._origin}/live/video-to-video{path}"
        return url

    def rewrite_headers(self, headers: Headers) -> Headers:
        """Return the headers of a WHIP response with public URLs."""
        return [
            (name, self.rewrite(value.decode("latin-1")).encode("latin-1")) if name in URL_HEADERS else (name, value)
            for name, value in headers
        ]

    def rewrite_document(self, document: object) -> object:
        """Return a JSON document with public URLs in its members that end in `_url`, at any depth of objects."""
        if isinstance(document, dict):
            return {
                name: self.rewrite(value)
                if isinstance(value, str) and name.endswith("_url")
                else self.rewrite_document(value)
                for name, value in document.items()
            }
        return document
