"""Whatever a gateway sends, a meter neither raises nor remembers more than its bound."""

import json
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.workloads import Workload
from middlewares.exchange import Declaration, Headers
from middlewares.ledger.model import Provenance
from middlewares.usage_tracker.meters.base import RESPONSE_BYTES
from middlewares.usage_tracker.meters.sse import LINE_BYTES
from tests.usage_tracker.meters.meter_runs import EVENTS, JSON, event, meter, usage

WORKLOADS = [Workload.TEXT_TO_IMAGE, Workload.LLM, Workload.AUDIO_TO_TEXT]

_headers = st.lists(
    st.tuples(st.sampled_from([b"content-type", b"content-encoding", b"x"]), st.binary(max_size=20)), max_size=3
) | st.sampled_from([EVENTS, JSON])

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "usage", "delta", "message", "content", "finish_reason", "images"])
            | st.sampled_from(["prompt_tokens", "completion_tokens"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(WORKLOADS), st.integers(-1, 1000), _headers, st.lists(st.binary(max_size=64), max_size=6))
def test_any_bytes(workload: Workload, status: int, headers: Headers, chunks: list[bytes]) -> None:
    usage(workload, chunks, status=status, headers=headers)


@given(st.sampled_from(WORKLOADS), _json, st.booleans(), _json)
def test_json_of_any_shape(workload: Workload, document: object, streams: bool, declared: object) -> None:
    text = json.dumps(document).encode()
    chunks = [b"data: " + text + b"\n\n"] if streams else [text]
    request = Declaration(document=declared if isinstance(declared, dict) else None)
    found = usage(workload, chunks, headers=EVENTS if streams else JSON, declared=request)
    assert all(type(count) is int and count >= 0 for count in found.units.values())
    assert found.units.keys() == found.provenance.keys()


_mutations = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6)


@pytest.mark.ci
@given(_mutations, st.sampled_from([EVENTS, JSON]))
def test_mutated_responses(mutations: list[tuple[int, int]], headers: Headers) -> None:
    for workload, response in (
        (Workload.LLM, event("text", prompt=5, completion=7, finish="stop")),
        (Workload.TEXT_TO_IMAGE, b'{"images":[{"url":"/stream/ab/x.png","seed":1,"nsfw":false}]}'),
    ):
        mutated = bytearray(response)
        for place, byte in mutations:
            mutated[place % len(mutated)] = byte
        usage(workload, [bytes(mutated)], headers=headers)


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"images":' * 50_000, b'{"usage":{"completion_tokens":' + b"9" * 10_000]
)
def test_nesting_and_digits_without_end(text: bytes) -> None:
    for workload in WORKLOADS[:2]:
        assert not usage(workload, [text]).complete
        assert not usage(workload, [b"data: " + text + b"\n"], headers=EVENTS).complete


def _flood(piece: bytes, total: int) -> Iterator[bytes]:
    return (piece for _ in range(total // len(piece)))


@pytest.mark.sampled(4)
@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("headers", [JSON, EVENTS])
@pytest.mark.parametrize("piece", [b"x" * 65_536, b"data: " + b"y" * 1_000, b"\n" * 4_096, b"data: {}\n" * 100])
def test_floods_are_not_kept(workload: Workload, headers: Headers, piece: bytes) -> None:
    fed = meter(workload)
    fed.response_start(200, headers)
    tracemalloc.start()
    try:
        for chunk in _flood(piece, 8 * RESPONSE_BYTES):
            fed.response_body(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    fed.usage()
    assert peak < 2.5 * RESPONSE_BYTES + 2 * LINE_BYTES


@pytest.mark.slow
def test_small_pieces_cost_no_more_than_they_hold() -> None:
    fed = meter(Workload.LLM)
    fed.response_start(200, EVENTS)
    tracemalloc.start()
    try:
        for chunk in _flood(b"z", LINE_BYTES):
            fed.response_body(chunk)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2 * LINE_BYTES


def test_response_too_long_to_keep_counts_as_requested() -> None:
    response = b'{"images":[{"url":"' + b"x" * RESPONSE_BYTES + b'"}]}'
    found = usage(Workload.TEXT_TO_IMAGE, [response], declared=Declaration(document={"num_images_per_prompt": 3}))
    assert found.complete
    assert {unit.value: count for unit, count in found.units.items()} == {
        "pixels": 3 * 512 * 512,
        "generations": 3,
        "requests": 1,
    }
    assert Provenance.UPSTREAM not in found.provenance.values()
