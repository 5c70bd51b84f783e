"""What a gateway sends for its next hop, or for nobody, must not reach the client."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.exchange import Headers
from middlewares.response.headers import HOP_BY_HOP, WITHHELD, client_headers
from tests.response.server_fixture import responding, serving

KEPT: Headers = [
    (b"content-type", b'multipart/mixed; boundary="x"'),
    (b"content-length", b"0"),
    (b"location", b"http://gateway:9935/live/a"),
    (b"link", b'<stun:s>; rel="ice-server"'),
    (b"etag", b'"1"'),
    (b"x-metadata", b" odd  spacing "),
    (b"retry-after", b"3"),
    (b"cache-control", b"max-age=5"),
    (b"www-authenticate", b"Basic"),
    (b"www-authenticate", b"Digest"),
]


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP | WITHHELD))
def test_never_reaches_the_client(name: bytes) -> None:
    assert client_headers([*KEPT, (name, b"x")], 200) == KEPT


@pytest.mark.parametrize(
    "name",
    [
        b"access-control-allow-origin",
        b"ratelimit",
        b"ratelimit-policy",
        b"ratelimit-remaining",
        b"x-ratelimit-limit-requests",
        b"x-rate-limit-reset",
        b"x-tollgate-tier",
    ],
)
def test_tollgates_own_names_are_not_the_gateways_to_use(name: bytes) -> None:
    assert client_headers([(name, b"x"), *KEPT], 200) == KEPT


def test_headers_that_connection_nominates_are_dropped() -> None:
    headers = [
        (b"connection", b"close, X-Hop"),
        (b"x-hop", b"1"),
        (b"x-other", b"2"),
        (b"connection", b" x-third ,"),
        (b"x-third", b"3"),
    ]
    assert client_headers(headers, 200) == [(b"x-other", b"2")]


_names = st.sampled_from(sorted(HOP_BY_HOP | WITHHELD) + [name for name, _ in KEPT] + [b"x-a", b"x-b"])


@given(st.lists(st.tuples(_names, st.binary(max_size=8))), st.sampled_from([200, 204, 304, 500]))
def test_what_is_left_is_a_subsequence_without_hop_headers(headers: Headers, status: int) -> None:
    left = client_headers(headers, status)
    remaining = iter(headers)
    assert all(item in remaining for item in left)
    assert not {name for name, _ in left} & (HOP_BY_HOP | WITHHELD)


async def test_on_the_wire(tmp_path: Path) -> None:
    headers = [
        *KEPT,
        (b"connection", b"keep-alive, x-private"),
        (b"x-private", b"1"),
        (b"server", b"go"),
        (b"date", b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (b"x-request-id", b"the gateway's"),
        (b"x-orchestrator-url", b"https://o:8935"),
        (b"livepeer-balance", b"123"),
        (b"set-cookie", b"a=b"),
    ]
    async with serving(responding(200, headers), tmp_path) as server:
        response = await server.raw(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    head = response.partition(b"\r\n\r\n")[0].split(b"\r\n")
    received = [tuple(line.split(b": ", 1)) for line in head[1:]]
    names = [name for name, _ in received]
    assert [item for item in received if item in KEPT] == KEPT
    assert set(names) - {name for name, _ in KEPT} == {b"date", b"x-request-id", b"connection"}
    assert names.count(b"date") == 1
    assert (b"x-request-id", server.exchanges[0].request_id.encode()) in received
    assert (b"connection", b"close") in received
