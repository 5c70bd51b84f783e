"""Hazards: an address that is private in another spelling, a name that is private the second time it is resolved."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from middlewares.auth.ports import FetchError
from proxy.identity.key_set_fetcher import HttpFetch
from proxy.identity.public_address import address_of, is_allowed

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:7f00:1::1",
    "fec0::1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b:1::7f00:1",
    "5f00::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_known_in_every_spelling(address: str) -> None:
    assert not is_allowed(address_of(address), ())


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address_of(address), ())


def test_configured_networks_are_allowed_and_no_other() -> None:
    assert is_allowed(address_of("127.0.0.1"), LOOPBACK)
    assert is_allowed(address_of("::ffff:127.0.0.1"), LOOPBACK)
    assert not is_allowed(address_of("10.0.0.1"), LOOPBACK)


@dataclass
class Listener:
    """A server that counts connections, and responds to each request with its `Host`."""

    port: int = 0
    connections: int = 0
    hosts: list[str] = field(default_factory=list)

    async def respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        self.hosts += [line[6:] for line in head.splitlines() if line.startswith("host: ")]
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()
    async with await asyncio.start_server(listener.respond, "127.0.0.1", 0) as server:
        listener.port = server.sockets[0].getsockname()[1]
        yield listener


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "[::ffff:127.0.0.1]", "[::1]"],
)
async def test_no_spelling_of_this_machine_is_connected_to(listener: Listener, host: str) -> None:
    async with HttpFetch() as fetch:
        for scheme in ("http", "https"):
            with pytest.raises(FetchError):
                await fetch(f"{scheme}://{host}:{listener.port}/", trusted=False)
    assert listener.connections == 0


async def test_a_configured_network_is_connected_to(listener: Listener) -> None:
    async with HttpFetch(LOOPBACK) as fetch:
        assert await fetch(f"http://127.0.0.1:{listener.port}/", trusted=False) == b"{}"


async def test_a_name_that_is_private_in_part_is_not_connected_to(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with HttpFetch() as fetch:
        resolve_to(monkeypatch, "8.8.8.8", "127.0.0.1")
        with pytest.raises(FetchError, match="not public"):
            await fetch(f"http://keys.example:{listener.port}/", trusted=False)
    assert listener.connections == 0


async def test_the_address_that_was_checked_is_the_one_connected_to_by_the_hosts_name_and_certificate(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Hazard: DNS rebinding, the name resolved once for the check and once more for the connection."""
    server, client = certificates(tmp_path, "keys.example")
    async with (
        await asyncio.start_server(listener.respond, "127.0.0.1", 0, ssl=server) as secure,
        HttpFetch(LOOPBACK, tls=client) as fetch,
    ):
        port = secure.sockets[0].getsockname()[1]
        resolved = resolve_to(monkeypatch, "127.0.0.1")
        assert await fetch(f"https://keys.example:{port}/", trusted=False) == b"{}"
        assert listener.hosts == [f"keys.example:{port}"]
        assert resolved == ["keys.example"]
        with pytest.raises(FetchError, match=r"(?i)certificate"):
            await fetch(f"https://other.example:{port}/", trusted=False)
        assert len(listener.hosts) == 1


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Make every name of `.example` resolve to these addresses; return the names that were resolved."""
    real = socket.getaddrinfo
    names: list[str] = []

    def resolved(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if not str(host).endswith(".example"):
            return real(host, port, *args, **kwargs)
        names.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    return names


def certificates(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return TLS for a server of that name, and for a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pem)
    client = ssl.create_default_context(cadata=certificate.public_bytes(serialization.Encoding.PEM).decode())
    return server, client


@pytest.mark.parametrize("host", ["xn--a", "hooks.example:0", "hooks.example:70000", "hooks.example:99999999999999999"])
async def test_a_host_that_is_no_name_and_a_port_that_no_socket_has_are_not_reached(host: str) -> None:
    async with HttpFetch() as fetch:
        with pytest.raises(FetchError):
            await fetch(f"https://{host}/keys", trusted=False)
