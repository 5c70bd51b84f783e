"""TCP promises bytes, not boundaries: every way of cutting an answer gives the same result."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.parser import FramingError, ResponseParser
from proxy.upstream.response import Response
from tests.upstream.corpus import COMPLETE, MALFORMED, TRUNCATED, Complete
from tests.upstream.fakes import OpenPool, Reader, Serve, Writer, get, read, read_head

Outcome = tuple[str, int, list[tuple[bytes, bytes]], bytes]


def parse(pieces: Iterable[bytes], *, bodiless: bool = False) -> Outcome:
    """How the answer ends, its status, headers and body."""
    parser, response = ResponseParser(), Response()
    parser.expect(response, bodiless=bodiless)
    end = ""
    for piece in pieces:
        try:
            parser.feed(piece)
        except FramingError as error:
            end = str(error)
            break
        if parser.complete:
            end = "kept" if parser.reusable else "closed"
            break
    else:
        end = "closed" if parser.end() else "truncated"
    return end, response.status, response.headers, response.buffered()


def byte_by_byte(raw: bytes) -> list[bytes]:
    return [raw[i : i + 1] for i in range(len(raw))]


@pytest.mark.parametrize("case", COMPLETE, ids=repr)
def test_a_response_cut_anywhere_is_the_same_response(case: Complete) -> None:
    bodiless = case.method == b"HEAD"
    whole = parse([case.raw], bodiless=bodiless)
    assert whole[0] == ("kept" if case.kept else "closed")
    assert parse(byte_by_byte(case.raw), bodiless=bodiless) == whole
    for cut in range(1, len(case.raw)):
        assert parse([case.raw[:cut], case.raw[cut:]], bodiless=bodiless) == whole


@pytest.mark.parametrize("raw", TRUNCATED.values(), ids=TRUNCATED)
def test_a_truncated_response_cut_anywhere_stays_truncated(raw: bytes) -> None:
    whole = parse([raw])
    assert whole[0] == "truncated"
    assert parse(byte_by_byte(raw)) == whole
    for cut in range(1, len(raw)):
        assert parse([raw[:cut], raw[cut:]]) == whole


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_response_cut_anywhere_stays_malformed(raw: bytes) -> None:
    whole = parse([raw])
    assert whole[0] not in {"kept", "closed", "truncated"}
    assert parse(byte_by_byte(raw)) == whole
    for cut in range(1, len(raw)):
        assert parse([raw[:cut], raw[cut:]]) == whole


@given(
    body=st.lists(st.binary(min_size=1, max_size=300), max_size=20),
    cuts=st.lists(st.integers(1, 200), min_size=1, max_size=50),
)
def test_chunks_and_cuts_are_independent(body: list[bytes], cuts: list[int]) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw += b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in body) + b"0\r\n\r\n"
    at, pieces = 0, list[bytes]()
    while at < len(raw):
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(raw[at : at + size])
        at += size
    assert parse(pieces) == ("kept", 200, [(b"transfer-encoding", b"chunked")], b"".join(body))


async def test_one_byte_per_segment_on_a_real_socket(serve: Serve, open_pool: OpenPool) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            await read_head(reader)
            for byte in byte_by_byte(raw):
                writer.write(byte)
                await writer.drain()

    raw = next(case.raw for case in COMPLETE if case.name == "chunk-extension")
    pool = open_pool(await serve(handler))
    for _ in range(3):
        assert await read(await get(pool)) == b"hi"
    assert pool.open == 1
