"""URLs as clients can use them: a gateway names itself, the gate is reached under its public origin. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from middlewares.exchange import Headers

HEADERS = frozenset({b"location", b"livepeer-playback-url"})
"""Fields of WHIP answers that hold a URL (gateway contract section 2)."""

_SERVED = ("/live/", "/process/", "/recordings/", "/stream/")
"""Below these the gate has the gateway's own paths."""


class PublicUrls:
    """Rewrites URLs to `origin`; those of the media server that plays live streams to `media`, else to our own WHEP."""

    __slots__ = ("_media", "_origin")

    def __init__(self, origin: str, media: str | None = None) -> None:
        self._origin = origin
        self._media = media

    def of(self, url: str) -> str:
        """The public form of a gateway's URL; one that leads elsewhere, or is none, stays as it is."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return url
        if parts.scheme not in ("http", "https"):
            return url
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        if parts.path.startswith(_SERVED):
            return self._origin + path
        if parts.path.endswith("-out/whep") and parts.path.count("/") == 2:
            return self._media + path if self._media else f"{self._origin}/live/video-to-video{path}"
        return url

    def headers(self, headers: Headers) -> Headers:
        """The fields of a WHIP answer."""
        return [
            (name, self.of(value.decode("latin-1")).encode("latin-1")) if name in HEADERS else (name, value)
            for name, value in headers
        ]

    def document(self, document: object) -> object:
        """A JSON document in which the members that end in `_url` are URLs, at any depth."""
        if isinstance(document, dict):
            return {
                name: self.of(value) if isinstance(value, str) and name.endswith("_url") else self.document(value)
                for name, value in document.items()
            }
        return document
