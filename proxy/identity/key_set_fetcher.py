"""Sends requests to external issuers: for key sets and discovery documents, and for what a sign-in there needs."""

import asyncio
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx

from config.access import Network
from middlewares.auth.ports import FetchError
from proxy.identity.public_address import AddressRefused, PublicClient

_SECONDS = 5
_MAX_BYTES = 1024 * 1024
_HEADERS = {"accept": "application/json", "accept-encoding": "identity"}
"""No compression, so that a small response cannot expand into a large one."""


@dataclass(frozen=True, slots=True)
class FetchedResponse:
    """A response that has arrived whole."""

    status: int
    content_type: str
    body: bytes = field(repr=False)


class HttpFetch:
    """`middlewares.auth.ports.Fetch` over httpx: no redirects, at most 5 seconds and 1 MiB.

    An address that is not trusted must be public, see `PublicClient`.
    """

    def __init__(self, networks: Collection[Network] = (), *, tls: ssl.SSLContext | None = None) -> None:
        """`networks` may be connected to though they are not public. `tls` None: the usual authorities are trusted."""
        context = tls or httpx.create_ssl_context()  # one for both: to load the authorities takes its time
        self._trusted = httpx.AsyncClient(verify=context)
        self._public = PublicClient(networks, context, "auth.key_set_networks")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._trusted.aclose()
        await self._public.close()

    async def __call__(self, url: str, *, trusted: bool = True) -> bytes:
        response = await self.send("GET", url, trusted=trusted)
        if response.status != 200:
            raise FetchError(f"status {response.status} instead of 200")
        return response.body

    async def send(
        self,
        method: str,
        url: str,
        *,
        trusted: bool,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> FetchedResponse:
        """Send a request; return its response, whatever its status. Raises `FetchError`."""
        sent = {**(headers or {}), **_HEADERS}
        try:
            async with asyncio.timeout(_SECONDS):
                if trusted:
                    request = self._trusted.build_request(method, url, headers=sent, content=content)
                    response = await self._trusted.send(request, stream=True, follow_redirects=False)
                else:
                    response = await self._public.send(method, httpx.URL(url), sent, content)
                return await _read(response)
        except TimeoutError:
            raise FetchError(f"no complete response within {_SECONDS} seconds") from None
        except AddressRefused as error:
            raise FetchError(str(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:  # the latter by a host that is no name
            raise FetchError(str(error) or type(error).__name__) from None


async def _read(response: httpx.Response) -> FetchedResponse:
    try:
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > _MAX_BYTES:
                raise FetchError(f"more than {_MAX_BYTES} bytes")
        return FetchedResponse(response.status_code, response.headers.get("content-type", ""), bytes(body))
    finally:
        await response.aclose()
