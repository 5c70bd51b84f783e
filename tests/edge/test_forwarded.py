"""Client address and scheme behind trusted proxies, and behind nobody."""

from ipaddress import ip_network

import pytest

from middlewares.edge.forwarded import client_of

TRUSTED = tuple(ip_network(network) for network in ("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "forwarded_proto", "address", "scheme"),
    [
        ("203.0.113.9", b"1.2.3.4", b"https", "203.0.113.9", "http"),
        ("10.0.0.1", b"", b"", "10.0.0.1", "http"),
        ("10.0.0.1", b"1.2.3.4", b"https", "1.2.3.4", "https"),
        ("10.0.0.1", b"1.2.3.4", b"HTTPS", "1.2.3.4", "https"),
        ("10.0.0.1", b"1.2.3.4", b"wss", "1.2.3.4", "http"),
        ("10.0.0.1", b"1.2.3.4", b"http, https", "1.2.3.4", "https"),
        ("10.0.0.1", b"6.6.6.6, 1.2.3.4", b"", "1.2.3.4", "http"),
        ("10.0.0.1", b"6.6.6.6, 1.2.3.4, 192.0.2.7 ,10.9.9.9", b"", "1.2.3.4", "http"),
        ("10.0.0.1", b"10.0.0.3, 10.0.0.2", b"", "10.0.0.3", "http"),
        ("10.0.0.1", b"1.2.3.4, unknown", b"", "10.0.0.1", "http"),
        ("10.0.0.1", b"1.2.3.4, \xff, 10.0.0.2", b"", "10.0.0.2", "http"),
        ("10.0.0.1", b"1.2.3.4,", b"", "10.0.0.1", "http"),
        ("10.0.0.1", b"1.2.3.4:5678", b"", "1.2.3.4", "http"),
        ("10.0.0.1", b"[2001:dead::1]:443", b"", "2001:dead::1", "http"),
        ("10.0.0.1", b"2001:dead::1", b"", "2001:dead::1", "http"),
        ("::ffff:10.0.0.1", b"::ffff:1.2.3.4", b"", "1.2.3.4", "http"),
        ("2001:db8::5", b"1.2.3.4", b"", "1.2.3.4", "http"),
        ("", b"1.2.3.4", b"https", "", "http"),
    ],
)
def test_the_right_most_hop_nobody_vouches_for_is_the_client(
    peer: str, forwarded_for: bytes, forwarded_proto: bytes, address: str, scheme: str
) -> None:
    assert client_of(peer, "http", forwarded_for, forwarded_proto, TRUSTED) == (address, scheme)


def test_nobody_is_trusted_unless_configured() -> None:
    assert client_of("127.0.0.1", "http", b"1.2.3.4", b"https", ()) == ("127.0.0.1", "http")
