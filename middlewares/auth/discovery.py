"""Finds the key set of an issuer that is known by its name alone (OpenID Connect Discovery 1.0, RFC 8414)."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from config.issuers import DISCOVERY_PATH, is_secure_url
from middlewares.auth.ports import Fetch
from middlewares.json_codec import nested_too_deeply

_KEPT_SECONDS = 86_400.0
"""Seconds until the discovery document is read again; at once after its key set could not be fetched."""


class DiscoveringLoader:
    """Loads the key set that the discovery document of an issuer names."""

    def __init__(
        self, issuer: str, fetch: Fetch, *, trusted: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`trusted`: the issuer stands in the configuration."""
        self._issuer = issuer
        self._fetch = fetch
        self._trusted = trusted
        self._clock = clock
        self._url: str | None = None
        self._read_again_at = 0.0

    async def __call__(self) -> bytes:
        """Return the key set. Raises `FetchError`, and `ValueError` for a document that is not the issuer's."""
        if self._url is None or self._clock() >= self._read_again_at:
            document = await self._fetch(self._issuer.removesuffix("/") + DISCOVERY_PATH, trusted=self._trusted)
            self._url = key_set_url(document, self._issuer)
            self._read_again_at = self._clock() + _KEPT_SECONDS
        url = self._url
        self._url = None  # until the set was fetched: it may have moved
        key_set = await self._fetch(url, trusted=self._trusted and same_origin(url, self._issuer))
        self._url = url
        return key_set


def key_set_url(document: bytes, issuer: str) -> str:
    """Return the `jwks_uri` of a discovery document. Raises `ValueError`."""
    return endpoint_url(discovered(document, issuer), "jwks_uri", issuer)


def discovered(document: bytes, issuer: str) -> Mapping[str, Any]:
    """Return the members of a discovery document. Raises `ValueError`.

    The document must name exactly the issuer it was asked for: it is the only proof that they belong together
    (RFC 8414 section 3.3).
    """
    if nested_too_deeply(document):
        raise ValueError("its discovery document is nested too deeply")
    try:
        parsed = json.loads(document)
    except ValueError:
        raise ValueError("its discovery document is not JSON") from None
    if not isinstance(parsed, dict) or parsed.get("issuer") != issuer:
        raise ValueError("its discovery document is another issuer's: `issuer` differs")
    return parsed


def endpoint_url(members: Mapping[str, Any], name: str, issuer: str) -> str:
    """Return the address of that name in the discovery document of an issuer. Raises `ValueError`."""
    url = members.get(name)
    if not isinstance(url, str) or not is_secure_url(url):
        raise ValueError(f"its discovery document has no `{name}` by https")
    if urlsplit(url).scheme != "https" and urlsplit(issuer).scheme == "https":
        raise ValueError("its discovery document leads from https to http")
    return url


def same_origin(url: str, other: str) -> bool:
    """Return True if both are at one host and port, so that whoever named the one has named the other."""
    first, second = urlsplit(url), urlsplit(other)
    return (first.scheme, first.netloc.lower()) == (second.scheme, second.netloc.lower())
