"""Request targets: what of path and query reaches the gateway."""

import time
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.access import Edge
from middlewares.edge.target import RESERVED_PARAMETERS, drop_reserved_parameters
from tests.edge.server_fixture import Server, serve

RESERVED = ("orchestrator", "rtmpOutput", "streamId", "pipeline")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Edge()) as running:
        yield running


@pytest.mark.parametrize(
    "query",
    [
        b"orchestrator=https://evil",
        b"Orchestrator=a",
        b"ORCHESTRATOR=a",
        b"orchestrator",
        b"%6frchestrator=a",
        b"%6Frchestrat%6Fr=a",
        b"rtmpOutput=rtmp://evil",
        b"rtmp_output=a",
        b"rtmp%5Foutput=a",
        b"streamId=a",
        b"stream-id=a",
        b"streamid=a",
        b"pipeline=a&pipeline=b",
        b"x;orchestrator=a",
        b"orchestrator=a;x",
    ],
)
def test_a_reserved_parameter_is_removed_in_every_disguise(query: bytes) -> None:
    assert drop_reserved_parameters(query) == b""
    assert drop_reserved_parameters(b"a=1&" + query + b"&b=%20+2") == b"a=1&b=%20+2"


@pytest.mark.parametrize(
    "query", [b"a=orchestrator", b"orchestrators=1", b"a=%zz&&b", b"&", b"a=b=c", b"%ff=1", b"params=%7B%22a%22:1%7D"]
)
def test_every_other_byte_stays(query: bytes) -> None:
    assert drop_reserved_parameters(query) == query


names = st.sampled_from((*RESERVED, "params", "model", "a", "b_c")) | st.text("abcdeST_%-", max_size=8)
queries = st.lists(st.tuples(names, st.text("abc%=+", max_size=5)), max_size=8)


@pytest.mark.ci
@given(queries)
def test_nothing_reserved_is_left_and_nothing_else_is_lost(parameters: list[tuple[str, str]]) -> None:
    query = "&".join(f"{name}={value}" for name, value in parameters).encode()
    kept = drop_reserved_parameters(query)
    assert drop_reserved_parameters(kept) == kept
    left = parse_qsl(kept.decode(), keep_blank_values=True)
    assert not [name for name, _ in left if name.lower() in {reserved.lower() for reserved in RESERVED}]
    plain = [f"{name}={value}".encode() for name, value in parameters if name in ("params", "model", "a", "b_c")]
    assert [parameter for parameter in kept.split(b"&") if parameter in plain] == plain


READINGS = ["key", "k", "%6B", "%6b", "%4b", "e", "Y", "y", "%2d", "%2D", "-", "_", "%5f", "=", ";", "&", "%", "%25"]


@given(st.lists(st.sampled_from([*READINGS, "to", "ken", "\n", "%3D", "%3b", "tollgate", "stream", "id"]), max_size=8))
def test_a_parameter_is_reserved_by_the_name_that_decoders_read(pieces: list[str]) -> None:
    def is_reserved(part: bytes) -> bool:
        name = unquote_to_bytes(part.partition(b"=")[0]).decode("latin-1")
        return name.lower().replace("_", "").replace("-", "") in RESERVED_PARAMETERS

    parameters = "".join(pieces).encode().split(b"&")
    kept = [each for each in parameters if not any(map(is_reserved, each.split(b";")))]
    assert drop_reserved_parameters(b"&".join(parameters)) == b"&".join(kept)


@pytest.mark.parametrize("piece", [b"&", b";", b"-", b";-", b"a&", b"key&", b"tollgat", b"%5F"])
def test_a_query_as_long_as_a_head_may_be_costs_an_unknown_caller_little(piece: bytes) -> None:
    query = piece * (32_768 // len(piece))
    start = time.process_time()
    for _ in range(10):
        drop_reserved_parameters(query)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("requested", "forwarded"),
    [
        (b"/upscale", b"/upscale"),
        (b"/upscale?", b"/upscale"),
        (b"/upscale?a=1&b=%20", b"/upscale?a=1&b=%20"),
        (b"/upscale?pipeline=x", b"/upscale"),
        (b"/upscale?a=1&pipeline=x", b"/upscale?a=1"),
        (b"/api/v1/inference/upscale?a=1", b"/upscale?a=1"),
        (b"/process/request/a%20b/c?d=/../e", b"/process/request/a%20b/c?d=/../e"),
    ],
)
def test_the_target_for_the_gateway(server: Server, requested: bytes, forwarded: bytes) -> None:
    response = server.send(
        b"POST " + requested + b" HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
    assert response.statuses == [200]
    assert response.seen[0].exchange.target == forwarded
