"""A gateway that reports more than was requested: it is counted as requested, and a person is told."""

from __future__ import annotations

import json

import pytest

from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.exchange import Declaration, Outcome
from middlewares.ledger.model import Usage
from middlewares.usage_tracker.settlement import charged_usage
from tests.usage_tracker.meters.meter_runs import EVENTS, JSON, event, meter, usage

CHAT = Declaration(units={Unit.INPUT_TOKENS: 100, Unit.OUTPUT_TOKENS: 8})
IMAGE = {"url": "/stream/ab12cd34/x.png"}
FORM_HEAD = [(b"content-type", b"multipart/form-data; boundary=b")]
N_IMAGES = b'--b\r\nContent-Disposition: form-data; name="num_images_per_prompt"\r\n\r\n2\r\n--b--\r\n'


@pytest.mark.parametrize(
    ("prompt", "completion", "counted"),
    [(100, 8, (100, 8)), (101, 8, (100, 8)), (5, 9, (5, 8)), (2**50, 2**50, (100, 8))],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_tokens_beyond_max_tokens_and_prompt(
    prompt: int, completion: int, counted: tuple[int, int], streamed: bool
) -> None:
    chunk = event("hello", prompt=prompt, completion=completion, finish="stop")
    body = chunk if streamed else chunk.removeprefix(b"data: ")
    found = usage(Workload.LLM, [body], headers=EVENTS if streamed else JSON, declared=CHAT)
    assert (found.units[Unit.INPUT_TOKENS], found.units[Unit.OUTPUT_TOKENS]) == counted
    assert found.attention is ((prompt, completion) != counted)
    assert (found.complete, found.finish_reason) == (True, "stop")


def test_tokens_that_are_estimated_by_chunks() -> None:
    found = usage(Workload.LLM, [*[event("a")] * 9, event(finish="stop")], headers=EVENTS, declared=CHAT)
    assert (found.units[Unit.OUTPUT_TOKENS], found.attention) == (8, True)


@pytest.mark.parametrize(("count", "attention"), [(1, False), (2, False), (3, True), (10_000, True)])
def test_images_beyond_n(count: int, attention: bool) -> None:
    declared = Declaration(document={"width": 64, "height": 64, "num_images_per_prompt": 2})
    body = json.dumps({"images": [IMAGE] * count}).encode()
    found = usage(Workload.TEXT_TO_IMAGE, [body], declared=declared)
    assert found.units[Unit.GENERATIONS] == min(count, 2)
    assert found.units[Unit.PIXELS] == min(count, 2) * 64 * 64
    assert found.attention is attention


@pytest.mark.parametrize(
    ("workload", "most"), [(Workload.IMAGE_TO_IMAGE, 2), (Workload.UPSCALE, 2), (Workload.IMAGE_TO_VIDEO, 1)]
)
def test_results_of_a_form_beyond_its_number(workload: Workload, most: int) -> None:
    found: dict[int, Usage] = {}
    for count in (most, most + 7):
        fed = meter(workload, headers=FORM_HEAD)
        fed.request_body(N_IMAGES)
        fed.response_start(200, JSON)
        fed.response_body(json.dumps({"images": [IMAGE] * count}).encode())
        found[count] = fed.usage()
    assert found[most].units == found[most + 7].units
    assert found[most].units[Unit.GENERATIONS] == most
    assert [used.attention for used in found.values()] == [False, True]


@pytest.mark.parametrize("outcome", [Outcome.COMPLETE, Outcome.CLIENT_DISCONNECT, Outcome.UPSTREAM_ERROR])
def test_the_mark_reaches_the_charge_whatever_the_outcome(outcome: Outcome) -> None:
    for rule in ("measured", "estimate", "free"):
        failure = "free" if rule == "estimate" else rule
        plan = Plan.model_validate({"on_disconnect": rule, "on_upstream_error": failure})
        used = Usage({Unit.OUTPUT_TOKENS: 8}, attention=True)
        assert charged_usage(plan, Workload.LLM, outcome, used, {}, responded=True).attention
