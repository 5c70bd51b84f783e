"""Reserved names in every disguise: none of their values gets past the edge."""

import base64
from collections.abc import Iterator

import pytest

from config.access import Edge
from tests.edge.server_fixture import Server, serve

CANARY = b"spoofed-canary"
CHAT = b'{"model":"m","model_id":"m","messages":[{"role":"user","content":"hi"}]}'
NAMES = """
    Authorization Cookie X-Api-Key Proxy-Authorization Proxy-Authenticate Proxy-Connection Keep-Alive TE Trailer
    HTTP2-Settings Forwarded Via X-Real-IP X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port
    X-Forwarded-Prefix X-Forwarded-Server X-Request-Id X-Tollgate-App X-Tollgate-Tier X-Tollgate-User
    X-Tollgate-Request-Id Livepeer Livepeer-Transcode-Configuration Livepeer-Orch-Search-Timeout
    Livepeer-Orch-Search-Resp-Timeout Livepeer-Eth-Address Livepeer-Capability Livepeer-Payment Livepeer-Segment
    Livepeer-Payer-Address Livepeer-Session-Token Livepeer-Balance Lp-Trickle-Seq Lp-Trickle-Reset Lp-Tier
    Signer-Auth-Id Signer-Auth-Expiry Expect Host Content-Length Transfer-Encoding Connection Upgrade
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Edge()) as running:
        yield running


def request(lines: bytes) -> bytes:
    return b"POST /upscale HTTP/1.1\r\nHost: proxy\r\nContent-Length: 0\r\n" + lines + b"\r\n"


def mixed_case(name: bytes) -> bytes:
    return bytes(byte ^ 32 if at % 2 and chr(byte).isalpha() else byte for at, byte in enumerate(name))


def disguised(name: bytes) -> dict[str, bytes]:
    header = name + b": " + CANARY + b"\r\n"
    trailer = b"Transfer-Encoding: chunked\r\nTrailer: " + name + b"\r\n\r\n4\r\nWiki\r\n0\r\n" + header + b"\r\n"
    return {
        "case": request(mixed_case(name) + b": " + CANARY + b"\r\n"),
        "underscore": request(name.replace(b"-", b"_") + b": " + CANARY + b"\r\n"),
        "duplicate": request(header * 2),
        "nominated": request(b"Connection: " + name + b"\r\n" + header),
        "trailer": b"POST /upscale HTTP/1.1\r\nHost: proxy\r\n" + trailer,
    }


DISGUISES = tuple(disguised(b"X-Name"))


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("name", NAMES.split())
def test_a_reserved_name_never_passes(server: Server, name: str, disguise: str) -> None:
    last = b"GET /healthz HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"
    response = server.send(disguised(name.encode())[disguise] + last)
    assert set(response.statuses) <= {200, 400, 501}
    for seen in response.seen:
        assert CANARY not in b"".join(value for _, value in seen.exchange.headers)
        if disguise == "trailer":
            assert CANARY not in b"".join(value for _, value in seen.scope["headers"])


def headers_of(server: Server, request_line: bytes, lines: bytes) -> list[tuple[bytes, bytes]]:
    response = server.send(request_line + b" HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n" + lines + b"\r\n")
    assert response.statuses == [200], response.raw
    return response.seen[0].exchange.headers


def test_harmless_fields_pass_in_order_and_those_of_tollgate_are_added(server: Server) -> None:
    lines = (
        b"Accept: multipart/mixed\r\nX-B: 2\r\nx-a: 1\r\nContent-Duration: 2000\r\nX-B: 3\r\nAccept-Encoding: gzip\r\n"
    )
    headers = headers_of(server, b"PUT /live/movie/0.ts", lines)
    assert headers[:5] == [
        (b"accept", b"multipart/mixed"),
        (b"x-b", b"2"),
        (b"x-a", b"1"),
        (b"content-duration", b"2000"),
        (b"x-b", b"3"),
    ]
    added = dict(headers[5:])
    assert added.pop(b"accept-encoding") == b"gzip"
    assert added.keys() == {b"x-request-id", b"x-forwarded-for"}
    assert len(set(added.values())) == 1


@pytest.mark.parametrize("path", [b"/llm", b"/text-to-image", b"/image-to-image", b"/audio-to-text"])
def test_metered_responses_are_requested_unencoded(server: Server, path: bytes) -> None:
    headers = headers_of(
        server, b"POST " + path, b"Accept-Encoding: gzip, br\r\nContent-Length: %d\r\n\r\n" % len(CHAT) + CHAT
    )
    assert [value for name, value in headers if name == b"accept-encoding"] == [b"identity"]


def test_the_job_header_is_read_and_never_passes(server: Server) -> None:
    """It is written anew where the gateway is chosen."""
    header = base64.b64encode(b'{"capability":"c","timeout_seconds":9,"sender":"0x0"}')
    head = b" HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\nLivepeer: " + header + b"\r\nContent-Length: 0\r\n\r\n"
    for path in (b"/process/request/echo", b"/process/stream/start", b"/process/stream/a/stop", b"/upscale"):
        [seen] = server.send(b"POST " + path + head).seen
        assert not [name for name, _ in seen.exchange.headers if name.startswith(b"livepeer")]
        assert (seen.exchange.job is not None) is (path != b"/upscale")


def test_nominated_fields_are_the_connections_own(server: Server) -> None:
    headers = headers_of(server, b"GET /stream/a.m3u8", b"X-Hop: 1\r\nConnection: x-HOP\r\nX-End: 2\r\n")
    assert b"x-hop" not in dict(headers)
    assert headers[0] == (b"x-end", b"2")


def test_a_connection_option_cannot_remove_what_tollgate_adds(server: Server) -> None:
    headers = headers_of(server, b"GET /stream/a.m3u8", b"Connection: x-request-id, x-forwarded-for\r\n")
    assert {name for name, _ in headers} == {b"x-request-id", b"x-forwarded-for"}
