"""Who the client is when trusted proxies stand in between."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.types import Scope

from config.networks import Network
from middlewares.exchange import Exchange


def locate_client(exchange: Exchange, scope: Scope, read: Mapping[bytes, bytes], trusted: Sequence[Network]) -> None:
    """Set address and scheme of the client on the exchange; `read`: the headers that the edge reads."""
    client = scope["client"]
    exchange.client_address, exchange.scheme = client_of(
        client[0] if client else "",
        scope["scheme"],
        forwarded_for=read.get(b"x-forwarded-for", b""),
        forwarded_proto=read.get(b"x-forwarded-proto", b""),
        trusted=trusted,
    )


def client_of(
    peer: str, scheme: str, forwarded_for: bytes, forwarded_proto: bytes, trusted: Sequence[Network]
) -> tuple[str, str]:
    """Return address and scheme of the client.

    `peer` and `scheme` are the connection's own. Only when `peer` is in `trusted` do the values of X-Forwarded-For
    and X-Forwarded-Proto count: the right-most address that is not a trusted proxy is the client, and the right-most
    scheme is the one that the nearest proxy was requested with. A hop that is no address ends the search.
    """
    address = _parse_address(peer) if trusted else None
    if address is None or not _is_in(address, trusted):
        return peer, scheme
    for hop in reversed(forwarded_for.split(b",")):
        found = _parse_address(hop.decode("latin-1").strip())
        if found is None:
            break
        address = found
        if not _is_in(address, trusted):
            break
    claimed = forwarded_proto.rpartition(b",")[2].strip().lower()
    return str(address), claimed.decode() if claimed in (b"http", b"https") else scheme


def _is_in(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


@lru_cache(maxsize=4096)
def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
