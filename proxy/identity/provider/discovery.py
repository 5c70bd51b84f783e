"""What is known of a provider: its discovery document, read again from time to time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, get_args

from config.issuers import DISCOVERY_PATH, Algorithm
from middlewares.auth.discovery import discovered, endpoint_url
from middlewares.auth.ports import Fetch, FetchError

_KEPT_SECONDS = 3_600.0
_RETRY_SECONDS = 2.0
"""Seconds after a failure in which no other request waits for the provider."""

Metadata = dict[str, Any]


class ProviderUnavailable(Exception):
    """The provider cannot be reached, or says what cannot be used."""


def metadata_of(document: bytes, issuer: str) -> Metadata:
    """Return what Authlib is to know of a provider, and no more: it makes options of its client of each member.

    Raises `ValueError` for a document that is not the issuer's, or that lacks an address.
    """
    found = discovered(document, issuer)
    algorithms = found.get("id_token_signing_alg_values_supported")
    methods = found.get("token_endpoint_auth_methods_supported")
    wanted = [each for each in get_args(Algorithm) if isinstance(algorithms, list) and each in algorithms]
    by_post = isinstance(methods, list) and "client_secret_post" in methods and "client_secret_basic" not in methods
    return {
        "issuer": issuer,
        "authorization_endpoint": endpoint_url(found, "authorization_endpoint", issuer),
        "token_endpoint": endpoint_url(found, "token_endpoint", issuer),
        "jwks_uri": endpoint_url(found, "jwks_uri", issuer),
        "id_token_signing_alg_values_supported": wanted or ["RS256"],
        "token_endpoint_auth_method": "client_secret_post" if by_post else "client_secret_basic",
        "authorization_response_iss_parameter_supported": (
            found.get("authorization_response_iss_parameter_supported") is True
        ),
    }


class ProviderMetadata:
    """Reads the discovery document of one issuer when it is needed, one request at a time."""

    def __init__(self, issuer: str, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._reading = asyncio.Lock()
        self._found: Metadata | None = None
        self._read_again_at = 0.0
        self._failure = ""

    async def read(self) -> Metadata:
        """Return what is known; the same object as long as nothing is read again. Raises `ProviderUnavailable`."""
        async with self._reading:
            if self._clock() >= self._read_again_at:
                await self._read()
            if self._found is None:
                raise ProviderUnavailable(self._failure)
            return self._found

    async def _read(self) -> None:
        """Read the document; where that fails, what was known before stays."""
        try:
            document = await self._fetch(self._issuer.removesuffix("/") + DISCOVERY_PATH, trusted=True)
            self._found = metadata_of(document, self._issuer)
        except (FetchError, ValueError) as error:
            self._failure = str(error)
            self._read_again_at = self._clock() + _RETRY_SECONDS
        else:
            self._read_again_at = self._clock() + _KEPT_SECONDS
