"""IP networks as people write them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")
"""IPv4 addresses as IPv6 sockets show them (RFC 4291 section 2.5.5.2)."""


def parse_network(text: str) -> Network:
    """Return the network that `text` names; an address is a network of one. Raises `ValueError`.

    IPv4-mapped IPv6 is the IPv4 network that it stands for: addresses of clients are compared as IPv4, however they
    arrive.
    """
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        return IPv4Network((int(mapped or 0), network.prefixlen - _MAPPED.prefixlen))
    return network
