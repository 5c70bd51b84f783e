"""Fetches key sets and discovery documents of external issuers."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Collection
from types import TracebackType
from typing import Self

import httpx

from config.access import Network
from middlewares.auth.ports import FetchError
from proxy.identity.public_address import address_of, is_allowed

_SECONDS = 5
_MAX_BYTES = 1024 * 1024
_HEADERS = {"accept": "application/json", "accept-encoding": "identity"}
"""No compression, so that a small response cannot expand into a large one."""


class HttpFetch:
    """`middlewares.auth.ports.Fetch` over httpx: no redirects, at most 5 seconds and 1 MiB.

    An address that is not trusted is resolved once and every result checked; the connection then goes to that result,
    so that a name cannot mean something else a moment later.
    """

    def __init__(self, networks: Collection[Network] = (), *, tls: ssl.SSLContext | None = None) -> None:
        """`networks` may be connected to though they are not public. `tls` None: the usual authorities are trusted."""
        context = tls or httpx.create_ssl_context()  # one for both: to load the authorities takes its time
        self._networks = networks
        self._trusted = httpx.AsyncClient(verify=context)
        self._direct = httpx.AsyncClient(
            verify=context, trust_env=False
        )  # past no proxy, which would resolve by itself

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._trusted.aclose()
        await self._direct.aclose()

    async def __call__(self, url: str, *, trusted: bool = True) -> bytes:
        try:
            async with asyncio.timeout(_SECONDS):
                if trusted:
                    return await _get(self._trusted, self._trusted.build_request("GET", url, headers=_HEADERS))
                return await self._get_checked(httpx.URL(url))
        except TimeoutError:
            raise FetchError(f"no complete response within {_SECONDS} seconds") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FetchError(str(error) or type(error).__name__) from None

    async def _get_checked(self, url: httpx.URL) -> bytes:
        """Return the document from the first address of the host that takes the connection."""
        addresses = await _resolved(url.host, url.port or (443 if url.scheme == "https" else 80))
        if not all(is_allowed(address_of(address), self._networks) for address in addresses):
            raise FetchError("its address is not public; `auth.key_set_networks` can allow it")
        for address in addresses[:-1]:
            with contextlib.suppress(httpx.ConnectError):
                return await self._get_from(address, url)
        return await self._get_from(addresses[-1], url)

    async def _get_from(self, address: str, url: httpx.URL) -> bytes:
        request = self._direct.build_request(
            "GET",
            url.copy_with(host=address),
            headers={**_HEADERS, "host": url.netloc.decode()},
            extensions={"sni_hostname": url.host},  # the certificate is to be that of the name
        )
        return await _get(self._direct, request)


async def _resolved(host: str, port: int) -> list[str]:
    """Return the addresses of a host, at least one."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise FetchError("its name cannot be resolved")
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


async def _get(client: httpx.AsyncClient, request: httpx.Request) -> bytes:
    response = await client.send(request, stream=True, follow_redirects=False)
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
