"""Fetches key sets and discovery documents of external issuers."""

import asyncio
import ssl
from collections.abc import Collection
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
        try:
            async with asyncio.timeout(_SECONDS):
                if trusted:
                    request = self._trusted.build_request("GET", url, headers=_HEADERS)
                    response = await self._trusted.send(request, stream=True, follow_redirects=False)
                else:
                    response = await self._public.send("GET", httpx.URL(url), _HEADERS)
                return await _read(response)
        except TimeoutError:
            raise FetchError(f"no complete response within {_SECONDS} seconds") from None
        except AddressRefused as error:
            raise FetchError(str(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FetchError(str(error) or type(error).__name__) from None


async def _read(response: httpx.Response) -> bytes:
    try:
        if response.status_code != 200:
            raise FetchError(f"status {response.status_code} instead of 200")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > _MAX_BYTES:
                raise FetchError(f"more than {_MAX_BYTES} bytes")
        return bytes(body)
    finally:
        await response.aclose()
