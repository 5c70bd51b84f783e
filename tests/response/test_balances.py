"""The gateway's balance with an orchestrator is not in a BYOC stream, and everything else of it is, at once."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from middlewares.exchange import Headers
from middlewares.response.balances import BalanceFilter
from tests.usage_tracker.meters.meter_runs import EVENTS, JSON, cuts

TOKEN = b'data: {"token":"t0"}\n\n'
BALANCE = b'data: {"balance": 1000000.000}\n\n\n'
DONE = b"data: [DONE]\n"
NO_FUNDS = b"event: insufficient balance\n"


def sent(pieces: list[bytes], headers: Headers = EVENTS) -> list[bytes]:
    """What the client is sent for each piece, and at the end."""
    bodies: list[bytes] = []

    async def send(message: Message) -> None:
        bodies.append(message.get("body", b""))

    async def response() -> None:
        balances = BalanceFilter(send)
        await balances.send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in pieces:
            await balances.send({"type": "http.response.body", "body": piece, "more_body": True})
        await balances.send({"type": "http.response.body", "body": b"", "more_body": False})

    asyncio.run(response())
    return bodies[1:]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (TOKEN + BALANCE + DONE, TOKEN + DONE),
        (TOKEN + b'data:{ "balance" : -1 }\n\n' + DONE, TOKEN + DONE),
        (BALANCE, b""),
        (BALANCE.rstrip(b"\n"), b""),
        (NO_FUNDS + b'data: {"balance": 0}\n\n' + DONE, NO_FUNDS + b"data: {}\n\n" + DONE),
        (b"data: half\n" + BALANCE + DONE, b"data: half\n\n\n" + DONE),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_balance_does_not_leak_however_it_is_cut(stream: bytes, expected: bytes, end: bytes) -> None:
    stream = stream.replace(b"\n", end)
    for pieces in ([stream], [stream[at : at + 1] for at in range(len(stream))]):
        found = b"".join(sent(pieces))
        assert b"balance" not in found.replace(b"insufficient balance", b"")
        assert found.replace(end, b"\n").replace(b"\n\n\n", b"\n\n") == expected.replace(b"\n\n\n", b"\n\n")


OTHERS = [
    b'data: {"balance": 1, "of": {"a": "worker"}}\n\n',
    b'data: {"echo": "data: {\\"balance\\": 1}"}\n\n',
    b'id: 1\ndata: say {"balance": 1}\n\n',
    b'data: {"balance": "' + b"9" * 300 + b'"}\n\n',
    b": data\n\n",
]


@pytest.mark.parametrize("other", OTHERS)
def test_what_only_speaks_of_a_balance_passes(other: bytes) -> None:
    assert b"".join(sent([other, DONE])) == other + DONE


_lines = st.sampled_from([TOKEN, DONE, NO_FUNDS, b"\n", b"\r\n", b"\r", b"dat", b"data: x", b": y\n", *OTHERS[:3]])


@pytest.mark.ci
@given(st.data(), st.lists(_lines, max_size=8).map(b"".join))
def test_every_other_byte_passes_however_it_is_cut(data: st.DataObject, stream: bytes) -> None:
    assert b"".join(sent(data.draw(cuts(stream)))) == stream


def test_a_line_leaves_as_it_comes() -> None:
    assert sent([b'{"token', b'":1}\n', b"data: {", b'"token":1}\n', b"\n", b"d", b"x"]) == [
        b'{"token',
        b'":1}\n',
        b"",
        b'data: {"token":1}\n',
        b"\n",
        b"",
        b"dx",
        b"",
    ]


def test_a_response_that_is_no_event_stream_passes_as_it_is() -> None:
    coded = [*EVENTS, (b"content-encoding", b"gzip")]
    assert [b"".join(sent([BALANCE], headers)) for headers in (JSON, coded)] == [BALANCE, BALANCE]
