"""RateLimit headers must be structured fields that a strict parser reads back."""

from pathlib import Path
from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Send

from middlewares.exchange import Exchange, Refusal
from middlewares.ledger.model import LimitSpec, LimitState
from middlewares.response.limits import INTEGER_CEILING, limit_headers
from tests.response.server_fixture import responding, serving

MINUTE = LimitState(LimitSpec("app-requests-per-minute", "requests", 60, 60), 12, 7)
RUNNING = LimitState(LimitSpec("key-concurrent", "concurrent-requests", 5, None), 4, 0)


def _parsed(limit_states: tuple[LimitState, ...]) -> dict[str, Any]:
    return {name.decode(): http_sf.parse(value, tltype="list") for name, value in limit_headers(limit_states)}


def test_as_the_draft_shows_them() -> None:
    assert limit_headers((MINUTE, RUNNING)) == [
        (
            b"ratelimit-policy",
            b'"app-requests-per-minute";q=60;w=60, "key-concurrent";q=5;qu="concurrent-requests"',
        ),
        (b"ratelimit", b'"app-requests-per-minute";r=12;t=7, "key-concurrent";r=4'),
    ]


def test_shadow_limits_caps_and_balances_are_not_advertised() -> None:
    assert not limit_headers(
        (
            LimitState(LimitSpec("app-requests-per-day", "requests", 1, 86_400, shadow=True), 0, 5),
            LimitState(LimitSpec("app-pixels-per-month", "pixels", 10, None), 5, 5),
            LimitState(LimitSpec("app-balance", "amount", 10**24, None), 5, 0),
        )
    )


_limit_specs = st.builds(
    LimitSpec,
    policy=st.from_regex(r"[a-z]+(-[a-z]+)*", fullmatch=True),
    unit=st.sampled_from(["requests", "concurrent-requests", "pixels"]),
    limit=st.integers(1, 2**53),
    window_seconds=st.none() | st.integers(1, 86_400),
    shadow=st.booleans(),
    advertised=st.none(),
)
_limit_states = st.builds(LimitState, _limit_specs, st.integers(-5, 2**53), st.integers(0, 86_400))


@pytest.mark.ci
@given(st.lists(_limit_states, max_size=6))
def test_strict_parser_reads_the_same_numbers(limit_states: list[LimitState]) -> None:
    advertised = [s for s in limit_states if not s.limit_spec.shadow and s.limit_spec.unit != "pixels"]
    limit_spec = [state.limit_spec for state in advertised]
    parsed = _parsed(tuple(limit_states))
    if not advertised:
        assert parsed == {}
        return
    policies = [
        (t.policy, {"q": min(t.limit, INTEGER_CEILING), "w": t.window_seconds, "qu": t.unit}) for t in limit_spec
    ]
    for (name, parameters), (policy, expected) in zip(parsed["ratelimit-policy"], policies, strict=True):
        assert name == policy
        assert {"w": None, "qu": "requests", **parameters} == expected
    for (name, parameters), s in zip(parsed["ratelimit"], advertised, strict=True):
        assert name == s.policy
        assert {"t": 0, **parameters} == {"r": max(0, min(s.remaining, INTEGER_CEILING)), "t": s.reset_seconds}


async def test_sent_with_success_and_refusal(tmp_path: Path) -> None:
    async def inner(exchange: Exchange, receive: Receive, send: Send) -> None:
        exchange.limit_states = (MINUTE,)
        if exchange.path == "/refused":
            raise Refusal(429, "rate_limited", "Slow down.", headers=[(b"retry-after", b"7")])
        upstream = [(b"ratelimit", b'"theirs";r=1'), (b"x-ratelimit-remaining", b"1")]
        await responding(200, upstream)(exchange, receive, send)

    async with serving(inner, tmp_path) as server:
        for path in ("/served", "/refused"):
            response = await server.request(path=path)
            assert response.headers.get_list("ratelimit") == ['"app-requests-per-minute";r=12;t=7']
            assert response.headers.get_list("ratelimit-policy") == ['"app-requests-per-minute";q=60;w=60']
            assert "x-ratelimit-remaining" not in response.headers
        assert response.headers["retry-after"] == "7"
