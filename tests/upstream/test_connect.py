"""Getting to a gateway: refused, unknown, silent, and over TLS."""

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.upstream import ConnectFailed, ConnectionPool
from tests.upstream.fakes import HOST, PATIENT, Serve, always_ok, get, parts, read, until


async def test_refused_is_not_an_answer_and_nothing_was_sent(serve: Serve) -> None:
    gateway = await serve(always_ok)
    await gateway.__aexit__()
    pool = ConnectionPool("127.0.0.1", gateway.port)
    with pytest.raises(ConnectFailed, match=f"^127.0.0.1:{gateway.port}: cannot connect: .*Connect") as refusal:
        await pool.send(b"POST", b"/", HOST, b"abc", timeouts=PATIENT)
    assert not refusal.value.request_sent
    assert pool.open == 0


@pytest.mark.parametrize("host", ["gateway.invalid", "a" * 70 + ".invalid", "256.256.256.256"])
async def test_a_name_without_an_address(host: str) -> None:
    pool = ConnectionPool(host, 80)
    with pytest.raises(ConnectFailed, match="cannot connect"):
        await get(pool)
    assert pool.open == 0


async def test_a_source_is_not_touched_before_there_is_a_connection(serve: Serve) -> None:
    """So that the caller may try it on another gateway."""
    gateway, source = await serve(always_ok), parts(b"abc")
    other = await serve(always_ok)
    await other.__aexit__()
    with pytest.raises(ConnectFailed):
        await ConnectionPool("127.0.0.1", other.port).send(b"POST", b"/", HOST, source, timeouts=PATIENT)
    pool = ConnectionPool("127.0.0.1", gateway.port)
    assert (await pool.send(b"POST", b"/", HOST, source, timeouts=PATIENT)).complete
    pool.close()
    await until(lambda: pool.open == 0)


async def test_on_send_is_called_when_and_only_when_something_is_sent(serve: Serve) -> None:
    calls = []
    gateway = await serve(always_ok)
    pool = ConnectionPool("127.0.0.1", gateway.port)
    await pool.send(b"GET", b"/", HOST, timeouts=PATIENT, on_send=lambda: calls.append(pool.in_use))
    assert calls == [1]
    pool.close()
    await until(lambda: pool.open == 0)
    await gateway.__aexit__()
    with pytest.raises(ConnectFailed):
        await ConnectionPool("127.0.0.1", gateway.port).send(
            b"GET", b"/", HOST, timeouts=PATIENT, on_send=lambda: calls.append(0)
        )
    assert calls == [1]


async def test_an_ipv6_origin_is_written_with_brackets() -> None:
    assert ConnectionPool("::1", 8935).origin == "[::1]:8935"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key of 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway.test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "gateway.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_tls(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(always_ok, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    trusting = ConnectionPool("127.0.0.1", port, tls=ssl.create_default_context(cafile=str(certificate)))
    for _ in range(2):
        assert await read(await get(trusting)) == b"hi"
    assert trusting.open == 1
    wary = ConnectionPool("127.0.0.1", port, tls=ssl.create_default_context())
    with pytest.raises(ConnectFailed, match="certificate verify failed"):
        await get(wary)
    assert wary.open == 0
    trusting.close()
    await until(lambda: trusting.open == 0)
    server.close()
    await server.wait_closed()
