"""Hazard: bodies that are kept in memory. Each app and each worker has a bound, and all of it is given back."""

from __future__ import annotations

import pytest

from config.access import Edge
from config.plans import Plan
from middlewares.body_buffers import BodyBuffers
from middlewares.exchange import Exchange, Principal, Refusal


def exchange_of(app: str) -> Exchange:
    exchange = Exchange("id", 0.0, "POST", "/")
    exchange.principal = Principal(app, None, None, "plan", Plan())
    return exchange


def test_the_refusal_says_which_bound_and_when_to_come_back() -> None:
    buffers = BodyBuffers(worker_bytes=25, app_bytes=10)
    first, second, third = (exchange_of(app) for app in "abc")
    buffers.take(first, 10)
    with pytest.raises(Refusal) as of_app:
        buffers.take(exchange_of("a"), 1)
    assert (of_app.value.status, of_app.value.code, of_app.value.close) == (429, "app_buffer_full", True)
    assert of_app.value.members["policy"] == "app-buffered-bytes"
    assert of_app.value.headers == [(b"retry-after", b"1")]
    buffers.take(second, 10)
    with pytest.raises(Refusal) as of_worker:
        buffers.take(third, 6)
    assert (of_worker.value.status, of_worker.value.code) == (503, "worker_buffer_full")
    assert of_worker.value.members["policy"] == "worker-buffered-bytes"
    buffers.give_back(first)
    buffers.take(third, 6)
    assert (buffers.total, third.buffered) == (16, 6)


def test_all_is_given_back_once() -> None:
    buffers = BodyBuffers(worker_bytes=100, app_bytes=100)
    one, other = exchange_of("a"), exchange_of("a")
    buffers.take(one, 60)
    buffers.take(other, 40)
    for _ in range(2):
        buffers.give_back(one)
    assert buffers.total == 40
    buffers.give_back(other)
    assert buffers.total == 0
    buffers.give_back(Exchange("id", 0.0, "POST", "/"))  # refused before it was known


def test_a_bound_without_room_for_one_body_is_refused() -> None:
    with pytest.raises(ValueError, match="must have room for the largest body"):
        Edge(max_json_bytes=16 * 1024 * 1024)
