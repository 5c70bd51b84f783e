"""A 200 is not proof of work: gateways say it to wrong methods and to jobs that failed everywhere."""

import pytest

from config.workloads import Unit, Workload
from middlewares.ledger.model import Provenance, Usage
from middlewares.routes import BY_NAME
from middlewares.usage_tracker.meters import meter_for
from tests.usage_tracker.meters.meter_runs import EVENTS, JSON, exchange, meter, usage

BATCH = [
    Workload.TEXT_TO_IMAGE,
    Workload.IMAGE_TO_IMAGE,
    Workload.IMAGE_TO_VIDEO,
    Workload.UPSCALE,
    Workload.AUDIO_TO_TEXT,
    Workload.LLM,
    Workload.SEGMENT_ANYTHING_2,
    Workload.IMAGE_TO_TEXT,
    Workload.TEXT_TO_SPEECH,
]


@pytest.mark.parametrize("chunks", [[], [b""]])
@pytest.mark.parametrize("workload", BATCH)
def test_empty_200_is_no_work(workload: Workload, chunks: list[bytes]) -> None:
    assert usage(workload, chunks) == Usage(complete=False)
    assert usage(workload, chunks, headers=[(b"content-encoding", b"gzip")]) == Usage(complete=False)


def test_byoc_job_that_failed_everywhere() -> None:
    fed = meter_for(exchange(BY_NAME["byoc-request"]))
    fed.response_start(200, [])
    assert fed.usage() == Usage(complete=False)


@pytest.mark.parametrize(
    ("workload", "units"), [(Workload.LIVE_VIDEO_TO_VIDEO, {}), (Workload.PLAYBACK, {Unit.REQUESTS: 1})]
)
def test_where_an_empty_200_says_all_there_is(workload: Workload, units: dict[Unit, int]) -> None:
    """A live stream is paid for by its ticks, so that a request about it counts nothing."""
    assert usage(workload, []) == Usage(units, dict.fromkeys(units, Provenance.MEASURED))


@pytest.mark.parametrize(
    "response",
    [
        b"{}",
        b"[]",
        b"null",
        b'{"images":[]}',
        b'{"images":null}',
        b'{"images":7}',
        b'{"images":["url"]}',
        b'{"images":[null]}',
        b'{"error":{"message":"Internal Server Error"}}',
        b'{"images":[{"url":"',
        b"<html>",
    ],
)
def test_200_that_lists_no_image(response: bytes) -> None:
    assert usage(Workload.TEXT_TO_IMAGE, [response]) == Usage(complete=False)


@pytest.mark.parametrize(
    "response", [b"{}", b'{"choices":[]}', b'{"error":{}}', b'{"choices":[{"finish_reason"', b"ok"]
)
def test_200_without_a_choice(response: bytes) -> None:
    assert usage(Workload.LLM, [response]) == Usage(complete=False)


@pytest.mark.parametrize("chunks", [[b'data: {"error":"boom"}\n\n'], [b": ping\n\n"], [b"data: [DONE]\n\n"], []])
def test_stream_without_a_choice(chunks: list[bytes]) -> None:
    assert usage(Workload.LLM, chunks, headers=EVENTS) == Usage(complete=False)


@pytest.mark.parametrize("status", [201, 202, 204, 400, 404, 500, 503])
def test_other_statuses_use_no_tokens_and_no_pixels(status: int) -> None:
    for workload in (Workload.TEXT_TO_IMAGE, Workload.LLM):
        assert usage(workload, [b'{"images":[{}]}'], status=status, headers=JSON) == Usage(complete=False)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0, Usage(complete=False)),
        (404, Usage()),
        (429, Usage()),
        (500, Usage(complete=False)),
        (503, Usage(complete=False)),
    ],
)
def test_counted_routes_count_successes_only(status: int, expected: Usage) -> None:
    assert usage(Workload.PLAYBACK, [b"text"], status=status) == expected


@pytest.mark.parametrize("status", [200, 201, 202, 206, 304])
def test_counted_successes(status: int) -> None:
    assert usage(Workload.PLAYBACK, [b"text"], status=status).units == {Unit.REQUESTS: 1}


def test_exchange_that_never_had_a_response() -> None:
    for workload in set(Workload) - {Workload.BYOC}:  # whose clock runs from the start
        assert meter(workload).usage() == Usage(complete=False)
