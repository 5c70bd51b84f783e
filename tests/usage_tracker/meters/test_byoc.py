"""BYOC requests: wall time, and 200s that are failures (gateway contract section 1.7)."""

from __future__ import annotations

import pytest

from config.workloads import Unit, Workload
from middlewares.exchange import Declaration
from middlewares.ledger.model import Provenance, Usage
from middlewares.routes import BY_NAME
from middlewares.usage_tracker.meters import meter_for
from middlewares.usage_tracker.meters.byoc import ByocMeter
from tests.usage_tracker.meters.meter_runs import EVENTS, JSON, exchange

BODY = b'{"result": 1}'
DONE = b'data: {"balance": 1}\n\ndata: [DONE]\n'


class Clock:
    """Seconds, as many as the test says."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def ran(*pieces: tuple[float, bytes], status: int = 200, events: bool = False, until: float | None = None) -> Usage:
    """Usage of a response whose pieces come after so many seconds."""
    clock = Clock()
    meter = ByocMeter(Declaration(units={Unit.MILLISECONDS: 60_000}), clock)
    if status:
        meter.response_start(status, EVENTS if events else JSON)
    for seconds, piece in pieces:
        clock.now = 1_000 + seconds
        meter.response_body(piece)
    clock.now = 1_000 + (until or clock.now - 1_000)
    return meter.usage()


def test_seconds_of_a_plain_response() -> None:
    used = ran((1.5, BODY[:4]), (2.25, BODY[4:]), until=9)
    assert used.units == {Unit.MILLISECONDS: 2_250, Unit.REQUESTS: 1}
    assert used.provenance == dict.fromkeys(used.units, Provenance.MEASURED)
    assert used.complete


def test_every_orchestrator_failed() -> None:
    assert ran(until=5) == Usage(complete=False)
    assert ran((5, b""), (6, b"\n")) == Usage(complete=False)


@pytest.mark.parametrize("status", [400, 402, 404, 429])
def test_a_refusal_by_gateway_or_worker_uses_nothing(status: int) -> None:
    assert ran((1, b"No orchestrators found"), status=status) == Usage()


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_failure_uses_nothing(status: int) -> None:
    assert ran((1, b"oops"), status=status) == Usage(complete=False)


def test_an_event_stream_that_says_it_is_done() -> None:
    used = ran((1, b"data: a\n\n"), (3, DONE), events=True, until=4)
    assert used.complete
    assert used.units == {Unit.MILLISECONDS: 3_000, Unit.REQUESTS: 1}


@pytest.mark.parametrize("cut", range(len(DONE)))
def test_the_end_is_seen_however_it_is_cut(cut: int) -> None:
    assert ran((1, DONE[:cut]), (2, DONE[cut:]), events=True).complete


def test_a_flood_of_line_ends_is_no_work() -> None:
    flood = [(2 + seconds, b"\n" * 1_000) for seconds in range(60)]
    used = ran((1, b"data: a\n\n"), *flood, events=True)
    assert used == Usage({Unit.MILLISECONDS: 1_000}, {Unit.MILLISECONDS: Provenance.MEASURED}, complete=False)


def test_an_event_stream_without_funds_is_not_complete() -> None:
    assert not ran((1, b"event: insufficient bal"), (2, b"ance\n" + DONE), events=True).complete


@pytest.mark.parametrize("colon", [b": ", b":"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_markers_are_whole_lines_with_any_line_end(colon: bytes, end: bytes) -> None:
    done = b"data" + colon + b"[DONE]" + end
    assert ran((1, done), events=True).complete
    assert ran((1, done[: -len(end)]), (2, end), events=True).complete, "its end came by itself"
    assert not ran((1, b"event" + colon + b"insufficient balance" + end + done), events=True).complete


@pytest.mark.parametrize(
    "line",
    [
        b'data: {"echo": "event: insufficient balance"}\n\n',
        b"data: event: insufficient balance\n\n",
        b"event: insufficient balance, it said\n\n",
        b": event: insufficient balance\n\n",
    ],
)
def test_a_prompt_that_is_echoed_does_not_make_a_job_free(line: bytes) -> None:
    assert ran((1, line + DONE), events=True).complete


@pytest.mark.parametrize(
    "line", [b'data: {"echo": "[DONE]"}\n', b"data: say [DONE]\n", b"id: [DONE]\n", b"data: [DONE] x\n", b"[DONE]"]
)
@pytest.mark.parametrize("cut", [0, 3, 5])
def test_a_prompt_that_is_echoed_ends_the_stream_at_the_gateway_and_is_paid_for(line: bytes, cut: int) -> None:
    """A gateway ends at any line that holds `[DONE]` (CONTRACT.md section 1.7): nothing is missing then."""
    used = ran((1, b"data: a\n\n"), (2, line[:cut]), (3, line[cut:]), events=True)
    assert used.complete
    assert used.units == {Unit.MILLISECONDS: 3_000, Unit.REQUESTS: 1}


@pytest.mark.parametrize("after", [b"data: more\n\n", b"id: 7\n", b'data: {"echo": "[DONE]"}\n'])
def test_an_echo_of_the_line_about_funds_is_no_end_where_the_stream_goes_on(after: bytes) -> None:
    echo = b'data: you said\nevent: insufficient balance\ndata: {"balance": 0}\n\n'
    assert ran((1, echo), (2, after), (3, DONE), events=True).complete


def test_funds_that_run_out_end_the_stream() -> None:
    end = b'event: insufficient balance\ndata: {"balance": 0}\n\n'
    for rest in (b"", DONE, b'data: {"balance": 0}\n\ndata:[DONE]\n'):
        assert not ran((1, b"data: a\n\n"), (2, end + rest), events=True).complete


def test_a_line_without_end_is_not_kept_without_end() -> None:
    assert ran(*[(1, b"x" * 100_000)] * 9, (2, b"\n" + DONE), events=True).complete


def test_a_job_takes_no_longer_than_it_may() -> None:
    used = ran((1, BODY[:4]), (90, BODY[4:]))
    assert (used.units[Unit.MILLISECONDS], used.attention) == (60_000, True)


def test_a_client_that_leaves_before_the_response_has_kept_a_worker_busy() -> None:
    assert ran(status=0, until=7).units == {Unit.MILLISECONDS: 7_000}


@pytest.mark.parametrize(
    ("route", "workload", "status"),
    [
        ("live-whip", Workload.LIVE_VIDEO_TO_VIDEO, 201),
        ("live-status", Workload.LIVE_VIDEO_TO_VIDEO, 200),
        ("byoc-stream-whip", Workload.BYOC, 201),
        ("byoc-stream-data", Workload.BYOC, 200),
        ("byoc-stream-status", Workload.BYOC, 200),
    ],
)
def test_a_stream_is_paid_by_its_time_not_by_its_requests(route: str, workload: Workload, status: int) -> None:
    meter = meter_for(exchange(BY_NAME[route]))
    meter.response_start(status, [])
    meter.response_body(b"v=0")
    assert meter.usage() == Usage()
