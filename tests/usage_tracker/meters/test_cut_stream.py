"""A stream that ends before a `finish_reason` is worth what it carried, and is not complete."""

from config.workloads import Unit, Workload
from middlewares.ledger.model import Provenance
from tests.usage_tracker.meters.meter_runs import EVENTS, event, meter, usage


def test_last_usage_seen_counts() -> None:
    chunks = [event("a", prompt=5, completion=1), event("b", prompt=5, completion=2), b'data: {"choices":[{"delta"']
    found = usage(Workload.LLM, chunks, headers=EVENTS)
    assert found.units == {Unit.INPUT_TOKENS: 5, Unit.OUTPUT_TOKENS: 2}
    assert found.provenance[Unit.OUTPUT_TOKENS] is Provenance.UPSTREAM
    assert not found.complete


def test_without_any_usage_chunks_with_text_count() -> None:
    found = usage(Workload.LLM, [event("a"), event("b"), event(None)], headers=EVENTS)
    assert found.units == {Unit.OUTPUT_TOKENS: 2}
    assert found.provenance[Unit.OUTPUT_TOKENS] is Provenance.ESTIMATED
    assert not found.complete


def test_a_request_is_counted_only_when_complete() -> None:
    assert Unit.REQUESTS not in usage(Workload.LLM, [event("a", completion=1)], headers=EVENTS).units


def test_reading_usage_early_changes_nothing() -> None:
    fed = meter(Workload.LLM)
    fed.response_start(200, EVENTS)
    stream = event("a", completion=1) + event("b", completion=2, finish="stop")
    for place in range(0, len(stream), 7):
        fed.response_body(stream[place : place + 7])
        fed.usage()
    assert fed.usage().units == {Unit.INPUT_TOKENS: 0, Unit.OUTPUT_TOKENS: 2, Unit.REQUESTS: 1}
