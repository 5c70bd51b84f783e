"""Which addresses may be connected to where somebody other than the configuration has named them."""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from config.access import Network

Address = IPv4Address | IPv6Address

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 behind a translator (RFC 6052): the last 32 bits are the address that is meant."""


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
    return (address.is_global and not address.is_multicast and not _is_tunnel(address)) or any(
        address in network for network in networks
    )


def _is_tunnel(address: Address) -> bool:
    return isinstance(address, IPv6Address) and address.teredo is not None
