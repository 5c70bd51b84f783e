"""Names that clients make up are not kept: hundreds of heads with long ones leave no worker larger."""

import tracemalloc
from collections.abc import Callable

import pytest

from middlewares.edge.headers import drop_nominated, sort_headers
from middlewares.edge.request import check_request
from proxy.upstream.request import request_head

HEADS = 200
LONG = 30_000


def _names(number: int) -> None:
    sort_headers([(b"x%d" % number + b"a" * LONG, b"1")])


def _hosts(number: int) -> None:
    check_request("POST", "1.1", {b"host": b"h%d" % number + b"a" * LONG})


def _options(number: int) -> None:
    drop_nominated([], b",".join(b"%d-%d" % (number, option) for option in range(3_000)))


def _forwarded_names(number: int) -> None:
    request_head(b"POST", b"/llm", [(b"host", b"g"), (b"x%d" % number + b"a" * LONG, b"1")], b"")


@pytest.mark.sampled(4)
@pytest.mark.parametrize("send", [_names, _hosts, _options, _forwarded_names])
def test_what_a_client_makes_up_is_not_kept(send: Callable[[int], None]) -> None:
    send(0)
    tracemalloc.start()
    try:
        for number in range(1, HEADS):
            send(number)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000
