"""llm: the tokens that the runner reports."""

import json

import pytest

from config.workloads import Unit, Workload
from middlewares.exchange import Declaration
from middlewares.ledger.model import Provenance
from tests.usage_tracker.meters.meter_runs import EVENTS, event, usage


def _plain(content: str = "hello", **members: object) -> bytes:
    choice = {"finish_reason": "stop", "index": 0, "message": {"content": content, "role": "assistant"}}
    return json.dumps({"choices": [choice], **members}).encode()


def test_plain_response() -> None:
    response = _plain(usage={"completion_tokens": 37, "prompt_tokens": 5, "total_tokens": 42})
    found = usage(Workload.LLM, [response])
    assert found.units == {Unit.INPUT_TOKENS: 5, Unit.OUTPUT_TOKENS: 37, Unit.REQUESTS: 1}
    assert found.provenance[Unit.OUTPUT_TOKENS] is Provenance.UPSTREAM
    assert (found.complete, found.finish_reason) == (True, "stop")


def test_plain_response_without_usage_is_estimated_from_its_text() -> None:
    found = usage(Workload.LLM, [_plain("fünf Wörter")])
    assert found.units == {Unit.OUTPUT_TOKENS: 4, Unit.REQUESTS: 1}, "13 bytes"
    assert found.provenance[Unit.OUTPUT_TOKENS] is Provenance.ESTIMATED


def test_last_usage_of_a_stream_counts() -> None:
    chunks = [event("a", prompt=5, completion=1), event("b", prompt=5, completion=2)]
    found = usage(Workload.LLM, [*chunks, event(prompt=5, completion=3, finish="stop")], headers=EVENTS)
    assert found.units == {Unit.INPUT_TOKENS: 5, Unit.OUTPUT_TOKENS: 3, Unit.REQUESTS: 1}
    assert (found.complete, found.finish_reason) == (True, "stop")


def test_usage_after_the_finish_counts() -> None:
    trailer = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":9}}\n\ndata: [DONE]\n\n'
    found = usage(Workload.LLM, [event("a", finish="stop"), trailer], headers=EVENTS)
    assert found.units[Unit.OUTPUT_TOKENS] == 9


def test_runner_that_counts_nothing_is_estimated_by_chunks_with_text() -> None:
    chunks = [event("a", completion=0), event("b", completion=0), event(None, completion=0, finish="stop")]
    found = usage(Workload.LLM, chunks, headers=EVENTS)
    assert found.units == {Unit.OUTPUT_TOKENS: 2, Unit.REQUESTS: 1}
    assert found.provenance[Unit.OUTPUT_TOKENS] is Provenance.ESTIMATED


def test_zeros_after_numbers_say_nothing() -> None:
    chunks = [event("a", prompt=5, completion=7), event(None, completion=0, finish="stop")]
    assert usage(Workload.LLM, chunks, headers=EVENTS).units[Unit.OUTPUT_TOKENS] == 7


@pytest.mark.parametrize(
    "value",
    [
        {"prompt_tokens": "5", "completion_tokens": 7},
        {"prompt_tokens": -5, "completion_tokens": 7},
        {"prompt_tokens": 5, "completion_tokens": 2**60},
        {"prompt_tokens": 5, "completion_tokens": 7.5},
        {"prompt_tokens": True, "completion_tokens": 7},
        [],
        None,
        "37",
    ],
)
def test_usage_of_another_shape_is_missing_and_hides_nothing_else(value: object) -> None:
    found = usage(Workload.LLM, [_plain("four", usage=value)])
    assert found.units == {Unit.OUTPUT_TOKENS: 1, Unit.REQUESTS: 1}
    assert (found.complete, found.finish_reason) == (True, "stop")


def test_response_in_an_encoding_counts_as_declared() -> None:
    declared = Declaration(units={Unit.OUTPUT_TOKENS: 256, Unit.REQUESTS: 1})
    for kind in (b"application/json", b"text/event-stream"):
        headers = [(b"content-type", kind), (b"content-encoding", b"gzip")]
        found = usage(Workload.LLM, [b"\x1f\x8b"], headers=headers, declared=declared)
        assert found.units == {Unit.OUTPUT_TOKENS: 256, Unit.REQUESTS: 1}
        assert found.provenance[Unit.OUTPUT_TOKENS] is Provenance.DECLARED


def test_finish_reason_is_cut_to_a_word() -> None:
    found = usage(Workload.LLM, [event("a", finish="s" * 100_000)], headers=EVENTS)
    assert found.finish_reason == "s" * 64
