"""Stream tokens: what Tollgate adds to a WHIP request, and what it accepts when a gateway sends it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from config.plans import Plan
from middlewares.exchange import Exchange, Principal, Refusal
from middlewares.live.middleware import LiveMiddleware
from middlewares.live.stream_tokens import LIFE_SECONDS, PARAMETER, StreamToken, StreamTokenSigner
from middlewares.routes import BY_NAME
from middlewares.store import StoreUnavailable
from middlewares.tenancy.names import for_caller

APP = "app_aaaaaaaaaaaaaaaa"
SIGNER = StreamTokenSigner(b"a secret of sixteen")
GIVEN = StreamToken("request", APP, "user", "key", "plan", f"{APP}_cam", "noop", 1_000.0)


def test_a_token_is_valid_until_it_expires() -> None:
    text = SIGNER.sign(GIVEN)
    assert text.replace("-", "").replace("_", "").isalnum()
    assert SIGNER.read(text, 999.9) == GIVEN
    assert SIGNER.read(text, 1_000.0) is None


def test_a_token_that_was_changed_or_signed_elsewhere_is_none() -> None:
    text = SIGNER.sign(GIVEN)
    for index in range(0, len(text), 7):
        swapped = "A" if text[index] != "A" else "B"
        assert SIGNER.read(text[:index] + swapped + text[index + 1 :], 0) is None
    assert StreamTokenSigner(b"another secret of sixteen").read(text, 0) is None
    for nonsense in ("", "x", "=", "é", text[:40], text + "AAAA"):
        assert SIGNER.read(nonsense, 0) is None


@dataclass
class Ended:
    """Sessions that only remember which were ended."""

    streams: list[str]
    lost: bool = False

    async def end(self, app: str, stream: str) -> None:
        if self.lost:
            raise StoreUnavailable("gone")
        self.streams.append(stream)


async def run(
    route: str, *, method: str = "POST", target: bytes, query: bytes = b"", sessions: Any = None, signer: Any = SIGNER
) -> tuple[Exchange, list[dict[str, Any]], bool]:
    """One request through the stage: its exchange, what the stage sent, whether the request went on."""
    went_on, sent = False, []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal went_on
        went_on = True

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing of it is read")

    path = target.partition(b"?")[0].decode()
    exchange = Exchange("id", 0.0, method, path, BY_NAME[route], target)
    exchange.principal = Principal(APP, None, "key", "standard", Plan())
    scope = {"type": "http", "tollgate.exchange": exchange, "query_string": query}
    ended: Any = sessions or Ended([])
    stage = LiveMiddleware(inner, sessions=ended, names=for_caller, stream_tokens=signer)
    await stage(scope, receive, send)
    return exchange, sent, went_on


WHIP = b"/live/video-to-video/cam/whip"


@pytest.mark.parametrize(("target", "separator"), [(WHIP, b"?"), (WHIP + b"?a=b", b"&")])
async def test_a_whip_request_carries_a_token_and_the_pipeline_it_requested(target: bytes, separator: bytes) -> None:
    exchange, sent, went_on = await run("live-whip", target=target, query=b"pipeline=noop&a=b")
    prefix = target + separator + PARAMETER.encode() + b"="
    assert went_on
    assert not sent
    assert exchange.target.startswith(prefix)
    found = SIGNER.read(exchange.target.removeprefix(prefix).decode(), 0)
    assert found is not None
    assert (found.request, found.app, found.key) == ("id", APP, "key")
    assert (found.stream, found.pipeline) == (f"{APP}_cam", "noop")
    assert (await exchange.declare()).model == "noop", "the limits know the pipeline as the model"
    assert found.expires > LIFE_SECONDS


async def test_nothing_is_added_to_other_routes() -> None:
    for route in ("live-whep", "llm"):
        exchange, sent, went_on = await run(route, target=WHIP)
        assert (exchange.target, sent, went_on) == (WHIP, [], True)


async def test_a_stream_that_nothing_would_meter_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        await run("live-whip", target=WHIP, signer=None)
    assert (refused.value.status, refused.value.code) == (501, "live_not_metered")
    _, _, went_on = await run("live-whip", method="OPTIONS", target=WHIP, signer=None)
    assert went_on


@pytest.mark.parametrize("lost", [False, True])
async def test_delete_ends_a_session_and_reaches_no_gateway(lost: bool) -> None:
    ended = Ended([], lost)
    _, sent, went_on = await run(
        "live-whip-session", method="DELETE", target=WHIP + b"/0a1b", sessions=ended, signer=None
    )
    assert not went_on
    assert sent[0]["status"] == 200
    assert ended.streams == ([] if lost else [f"{APP}_cam"])


async def test_nobody_ends_or_begins_another_apps_stream() -> None:
    foreign = b"/live/video-to-video/app_bbbbbbbbbbbbbbbb_cam/whip"
    for route, method, target in (
        ("live-whip", "POST", foreign),
        ("live-whip-session", "DELETE", foreign + b"/0a1b"),
    ):
        with pytest.raises(Refusal) as refused:
            await run(route, method=method, target=target)
        assert (refused.value.status, refused.value.code) == (404, "unknown_id")
