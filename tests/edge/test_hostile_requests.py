"""Ambiguous HTTP: nothing RFC 9112 forbids is accepted, nothing after it is served, however it is fragmented."""

import logging
from collections.abc import Iterator

import pytest

from config.access import Edge
from tests.edge.hostile import Hostile, hostile_requests, second_request
from tests.edge.server_fixture import Response, Server, serve

HOSTILE = hostile_requests()
SPLITS = 150
"""Most places at which one input is cut in two."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Edge()) as running:
        yield running


def hostile(test: object) -> object:
    return pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name)(test)


def assert_refused(case: Hostile, response: Response) -> None:
    assert len(response.statuses) == 1, response.raw
    assert response.statuses[0] in case.statuses
    assert response.problem["status"] == response.statuses[0]
    assert b"connection: close" in response.raw
    assert len(response.seen) <= case.in_body
    assert not any(request.complete for request in response.seen)


@hostile
def test_refused_and_nothing_after_it_is_served(server: Server, case: Hostile) -> None:
    assert_refused(case, server.send(case.raw + second_request()))


@hostile
def test_refused_when_the_second_request_comes_later(server: Server, case: Hostile) -> None:
    assert_refused(case, server.send(case.raw, second_request()))


@pytest.mark.sampled(4)
@hostile
def test_refused_however_it_is_cut_in_two(server: Server, case: Hostile) -> None:
    raw = case.raw + second_request()
    for cut in range(1, len(case.raw), max(1, len(case.raw) // SPLITS)):
        assert_refused(case, server.send(raw[:cut], raw[cut:]))


@hostile
def test_refused_byte_by_byte(server: Server, case: Hostile) -> None:
    raw = case.raw + second_request()
    step = max(1, len(raw) // 1_000)
    assert_refused(case, server.send(*(raw[at : at + step] for at in range(0, len(raw), step))))


def test_the_second_request_alone_is_served(server: Server) -> None:
    """Otherwise the tests above would prove nothing."""
    response = server.send(second_request(b"Connection: close\r\n"))
    assert response.statuses == [200]
    assert [seen.complete for seen in response.seen] == [True]


def test_a_good_request_before_a_bad_one_keeps_its_response(server: Server) -> None:
    """The response to the bad one follows it; it does not stand in its place."""
    response = server.send(second_request() + b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")
    assert response.statuses == [200, 400]
    assert len(response.seen) == 1


def test_requests_after_connection_close_are_not_served(server: Server) -> None:
    response = server.send(second_request(b"Connection: close\r\n") + second_request())
    assert response.statuses == [200]
    assert len(response.seen) == 1


def test_bad_requests_leave_no_log_lines(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for case in HOSTILE:
            server.send(case.raw)
    assert caplog.records == []
