"""Which addresses may be connected to where somebody other than the configuration has named them, and their client."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpx

from config.access import Network

Address = IPv4Address | IPv6Address

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 behind a translator (RFC 6052): the last 32 bits are the address that is meant."""

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All public IPv6 (RFC 4291). Outside are site-local addresses, and more spellings of IPv4, as of `::127.0.0.1`."""

HIGHEST_PORT = 65_535
_RESOLVERS = 8
"""Threads that look up names: a name server that does not respond holds up none of the process's other threads."""


class AddressRefused(Exception):
    """The host is not connected to; the message says why."""


def address_of(text: str) -> Address:
    """Return the address that a connection to `text` reaches: IPv4 also where it is written within IPv6."""
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_allowed(address: Address, networks: Collection[Network]) -> bool:
    """Return True for a public address, and for one of these networks."""
    return _is_public(address) or any(address in network for network in networks)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and (address not in _GLOBAL_UNICAST or address.teredo is not None):
        return False
    return address.is_global and not address.is_multicast


class PublicClient:
    """Sends requests to public addresses alone, past all proxies and redirects.

    A host is resolved once and every result checked; the connection then goes to that result, so that a name cannot
    mean something else a moment later. No connection is used twice: its certificate was checked for one name. No cookie
    is kept: hosts of several tenants may have one address.
    """

    def __init__(self, networks: Collection[Network], tls: ssl.SSLContext, setting: str) -> None:
        """`networks` may be connected to though they are not public; `setting` is what an operator calls them."""
        self._networks = networks
        self._setting = setting
        self._resolver = ThreadPoolExecutor(_RESOLVERS, "resolver")
        alone = httpx.Limits(max_keepalive_connections=0)
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))  # else one tenant's host sets another's
        self._http = httpx.AsyncClient(verify=tls, trust_env=False, limits=alone, cookies=no_cookies)

    async def close(self) -> None:
        """Close all connections."""
        self._resolver.shutdown(wait=False, cancel_futures=True)
        await self._http.aclose()

    async def send(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes | None = None
    ) -> httpx.Response:
        """Return the response of the first address of the host that takes the connection; its body is not read yet.

        Raises `AddressRefused` and `httpx.HTTPError`.
        """
        port = url.port if url.port is not None else 443 if url.scheme == "https" else 80
        if not 0 < port <= HIGHEST_PORT:
            raise AddressRefused(f"its port must be from 1 to {HIGHEST_PORT}")
        addresses = await self._resolved(url.host, port)
        if not all(is_allowed(address_of(address), self._networks) for address in addresses):
            raise AddressRefused(f"its address is not public; `{self._setting}` can allow it")
        for address in addresses[:-1]:
            with contextlib.suppress(httpx.ConnectError):
                return await self._send_to(address, method, url, headers, content)
        return await self._send_to(addresses[-1], method, url, headers, content)

    async def _send_to(
        self, address: str, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes | None
    ) -> httpx.Response:
        request = self._http.build_request(
            method,
            url.copy_with(host=address),
            headers={**headers, "host": url.netloc.decode()},
            content=content,
            extensions={"sni_hostname": url.host},  # the certificate is to be that of the name
        )
        return await self._http.send(request, stream=True, follow_redirects=False)

    async def _resolved(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host, at least one."""
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._resolver, look_up)
        except (OSError, UnicodeError):
            found = []
        if not found:
            raise AddressRefused("its name cannot be resolved")
        return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
