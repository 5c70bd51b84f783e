"""What counts as one client where clients are told apart by their address."""

from ipaddress import IPv6Address, ip_address

_IPV6_INTERFACE_BITS = 64


def client_network(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network that an IPv6 client has to itself."""
    try:
        parsed = ip_address(address)
    except ValueError:  # a peer on a unix socket has none
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> _IPV6_INTERFACE_BITS << _IPV6_INTERFACE_BITS)}/64"
