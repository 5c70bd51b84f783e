"""What goes onto the wire is the request it was made from, framed once, or nothing."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream import InvalidRequest, Timeouts
from proxy.upstream.request import request_head
from tests.upstream.corpus import OK
from tests.upstream.fakes import HOST, PATIENT, OpenPool, Reader, Serve, Writer, always_ok, parts, read_body, read_head

HEADER_NAME = st.text("!#$%&'*+-.^_`|~09AZaz", min_size=1, max_size=20).map(str.encode)
SAFE_VALUE = st.binary(max_size=40).filter(lambda value: not {0, 10, 13} & set(value))


@given(headers=st.lists(st.tuples(HEADER_NAME, SAFE_VALUE), max_size=8))
def test_headers_are_written_as_they_are_and_in_order(headers: list[tuple[bytes, bytes]]) -> None:
    head = request_head(b"GET", b"/a?b", headers, b"")
    assert head == b"".join([b"GET /a?b HTTP/1.1\r\n", *[n + b": " + v + b"\r\n" for n, v in headers], b"\r\n"])


@given(st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=6)), max_size=4))
def test_no_header_ever_becomes_two(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        head = request_head(b"GET", b"/", headers, b"")
    except InvalidRequest:
        return
    assert head.count(b"\r\n") == len(headers) + 2
    assert head.count(b"\r") == head.count(b"\n") == len(headers) + 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-a", b"b\r\nlivepeer: stolen"),
        (b"x-a", b"b\nlivepeer: stolen"),
        (b"x-a", b"b\rc"),
        (b"x-a", b"b\0c"),
        (b"x-a\r\nlivepeer", b"stolen"),
        (b"x-a\n", b"b"),
        (b"x-a\0", b"b"),
        (b"livepeer: stolen, x-a", b"b"),
        (b"x-a ", b"b"),
        (b" x-a", b"b"),
        (b"x-a:", b"b"),
        (b"", b"b"),
        (b"x-\xe9", b"b"),
    ],
)
def test_a_header_that_would_be_read_as_another_is_refused(name: bytes, value: bytes) -> None:
    with pytest.raises(InvalidRequest):
        request_head(b"GET", b"/", [*HOST, (name, value), (b"x-last", b"1")], b"")


@pytest.mark.parametrize("name", [b"content-length", b"Content-Length", b"transfer-encoding", b"TRANSFER-ENCODING"])
def test_nobody_else_frames_the_request(name: bytes) -> None:
    with pytest.raises(InvalidRequest, match="the client's to write"):
        request_head(b"POST", b"/", [*HOST, (name, b"5")], b"content-length: 5\r\n")


@pytest.mark.parametrize("method", [b"", b"GET /", b"G\r\nET", b"CONNECT", b"G:T"])
def test_a_method_that_is_no_method_is_refused(method: bytes) -> None:
    with pytest.raises(InvalidRequest, match="method"):
        request_head(method, b"/", HOST, b"")


@pytest.mark.parametrize("target", [b"", b"/a b", b"/a\tb", b"/ HTTP/1.1\r\nlivepeer: x", b"/\0", b"/\x7f"])
def test_a_target_that_ends_early_is_refused(target: bytes) -> None:
    with pytest.raises(InvalidRequest, match="target"):
        request_head(b"GET", target, HOST, b"")


def test_a_refusal_repeats_no_value() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        request_head(b"GET", b"/", [(b"authorization", b"canary\r\n")], b"")
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize(
    ("body", "length", "framing", "sent"),
    [
        pytest.param(lambda: None, None, None, b"", id="none"),
        pytest.param(lambda: None, 0, b"content-length: 0", b"", id="none-of-length-0"),
        pytest.param(lambda: b"", None, b"content-length: 0", b"", id="empty"),
        pytest.param(lambda: b"abc", None, b"content-length: 3", b"abc", id="bytes"),
        pytest.param(lambda: b"x" * 300_000, None, b"content-length: 300000", b"x" * 300_000, id="large-bytes"),
        pytest.param(lambda: parts(b"a", b"bc"), 3, b"content-length: 3", b"abc", id="source-of-length"),
        pytest.param(parts, 0, b"content-length: 0", b"", id="source-of-nothing"),
        pytest.param(lambda: parts(b"a", b"", b"bc"), None, b"transfer-encoding: chunked", b"abc", id="source"),
        pytest.param(parts, None, b"transfer-encoding: chunked", b"", id="empty-source"),
    ],
)
async def test_a_body_is_framed_exactly_once(
    serve: Serve, open_pool: OpenPool, body: object, length: int | None, framing: bytes | None, sent: bytes
) -> None:
    received = []

    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            head = await read_head(reader)
            received.append((head, await read_body(reader, head)))
            writer.write(OK)

    assert callable(body)
    pool = open_pool(await serve(handler))
    for _ in range(2):
        response = await pool.send(b"POST", b"/a%20b?c", HOST, body(), length=length, timeouts=PATIENT)
        assert response.complete
    lines = [b"POST /a%20b?c HTTP/1.1", b"host: gateway.test", *([framing] if framing else []), b"", b""]
    assert received == [(b"\r\n".join(lines), sent)] * 2
    assert pool.open == 1


async def test_an_invalid_request_takes_no_connection_and_no_byte_of_its_body(
    serve: Serve, open_pool: OpenPool
) -> None:
    async def source() -> AsyncIterator[bytes]:
        raise AssertionError("read")
        yield b""

    gateway = await serve(always_ok)
    pool = open_pool(gateway)
    with pytest.raises(InvalidRequest):
        await pool.send(b"POST", b"/", [(b"a", b"\n")], source(), timeouts=Timeouts())
    assert (pool.open, gateway.accepted) == (0, 0)
