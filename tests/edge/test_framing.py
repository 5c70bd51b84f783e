"""The edge's own framing rules, which hold also where the parser in front of them is lenient."""

import pytest

from middlewares.edge.request import body_length, check_coding, check_request
from middlewares.exchange import Refusal

HOST = {b"host": b"proxy"}


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ({}, 0),
        ({b"content-length": b"0"}, 0),
        ({b"content-length": b" 12\t"}, 12),
        ({b"transfer-encoding": b"chunked"}, None),
        ({b"transfer-encoding": b" Chunked\t"}, None),
    ],
)
def test_length_of_the_body(headers: dict[bytes, bytes], length: int | None) -> None:
    assert body_length("1.1", headers) == length


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({b"content-length": b"4", b"transfer-encoding": b"chunked"}, 400),
        *(
            ({b"content-length": value}, 400)
            for value in (b"", b"4, 4", b"+4", b"-4", b"0x4", b"4_0", b"4 4", b"\xb2", b"1" * 19)
        ),
        *(
            ({b"transfer-encoding": value}, 501)
            for value in (b"", b"gzip", b"gzip, chunked", b"chunked, chunked", b"chunked;q=1", b"\x0bchunked")
        ),
    ],
)
def test_ambiguous_framing(headers: dict[bytes, bytes], status: int) -> None:
    with pytest.raises(Refusal) as refused:
        body_length("1.1", headers)
    assert refused.value.status == status
    assert refused.value.close


def test_transfer_encoding_needs_http_1_1() -> None:
    with pytest.raises(Refusal) as refused:
        body_length("1.0", {b"transfer-encoding": b"chunked"})
    assert (refused.value.status, refused.value.close) == (400, True)


@pytest.mark.parametrize(
    ("method", "version", "headers", "status"),
    [
        ("CONNECT", "1.1", HOST, 501),
        ("TRACE", "1.1", HOST, 501),
        ("GET", "2.0", HOST, 505),
        ("GET", "0.9", HOST, 505),
        ("GET", "1.1", {}, 400),
        ("GET", "1.0", {}, 400),
        ("GET", "1.1", {b"host": b"proxy, proxy"}, 400),
        ("GET", "1.1", {b"host": b"proxy/a"}, 400),
    ],
)
def test_requests_that_are_not_for_this_server(
    method: str, version: str, headers: dict[bytes, bytes], status: int
) -> None:
    with pytest.raises(Refusal) as refused:
        check_request(method, version, headers)
    assert (refused.value.status, refused.value.close) == (status, True)


def test_http_1_0_with_a_host_is_served() -> None:
    check_request("GET", "1.0", HOST)


def test_a_coded_body_is_415_and_names_the_coding() -> None:
    check_coding([(b"content-encoding", b"identity")])
    with pytest.raises(Refusal, match="gzip") as refused:
        check_coding([(b"content-encoding", b"GZIP")])
    assert (refused.value.status, refused.value.headers) == (415, [(b"accept-encoding", b"identity")])
