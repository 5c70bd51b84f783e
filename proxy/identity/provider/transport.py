"""The connections on which Authlib speaks with a provider: those of all requests to issuers, with their bounds."""

from __future__ import annotations

import httpx2

from middlewares.auth.discovery import same_origin
from middlewares.auth.ports import FetchError
from middlewares.json_codec import nested_too_deeply
from proxy.identity.key_set_fetcher import HttpFetch

_OWN = frozenset((b"host", b"accept", b"accept-encoding", b"connection", b"content-length", b"user-agent"))
"""Headers that our client sets itself."""


class ProviderTransport(httpx2.AsyncBaseTransport):
    """A transport for Authlib's client. Other hosts than the issuer's must be public; see `HttpFetch`."""

    def __init__(self, fetch: HttpFetch, issuer: str) -> None:
        self._fetch = fetch
        self._issuer = issuer

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request. Raises `FetchError`."""
        url = str(request.url)
        response = await self._fetch.send(
            request.method,
            url,
            trusted=same_origin(url, self._issuer),
            headers={
                name.decode("latin-1"): value.decode("latin-1")
                for name, value in request.headers.raw
                if name.lower() not in _OWN
            },
            content=await request.aread() or None,
        )
        if nested_too_deeply(response.body):
            raise FetchError("its response is nested too deeply")
        headers = {"content-type": response.content_type}
        return httpx2.Response(response.status, headers=headers, content=response.body, request=request)
