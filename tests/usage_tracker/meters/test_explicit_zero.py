"""A usage of 0 that was reported is 0: it must never be taken for a missing one and replaced by an estimate."""

import json

from config.workloads import Unit, Workload
from middlewares.ledger.model import Provenance
from tests.usage_tracker.meters.meter_runs import EVENTS, event, usage

ZERO = {Unit.INPUT_TOKENS: 0, Unit.OUTPUT_TOKENS: 0, Unit.REQUESTS: 1}


def test_reported_zeros_of_a_json_response_are_zeros() -> None:
    choice = {"finish_reason": "stop", "message": {"content": "cached"}}
    response = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}).encode()
    found = usage(Workload.LLM, [response])
    assert found.units == ZERO
    assert found.provenance[Unit.OUTPUT_TOKENS] is Provenance.UPSTREAM


def test_stream_without_text() -> None:
    found = usage(Workload.LLM, [event(prompt=0, completion=0, finish="stop")], headers=EVENTS)
    assert found.units == ZERO
    assert found.provenance[Unit.OUTPUT_TOKENS] is Provenance.UPSTREAM


def test_stream_whose_prompt_was_counted() -> None:
    chunks = [event("a", prompt=5, completion=0), event(prompt=5, completion=0, finish="stop")]
    found = usage(Workload.LLM, chunks, headers=EVENTS)
    assert found.units == {Unit.INPUT_TOKENS: 5, Unit.OUTPUT_TOKENS: 0, Unit.REQUESTS: 1}
    assert found.provenance[Unit.OUTPUT_TOKENS] is Provenance.UPSTREAM
