"""The rate limit stage over a real ledger: what it admits, and how it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from ulid import ULID

from config.plans import Plan
from config.workloads import Unit
from middlewares.exchange import Declaration, Exchange, Principal, Refusal
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.rate_limit.middleware import RateLimitMiddleware
from middlewares.routes import BY_NAME
from proxy.store.store import Store
from tests.ledger.worker_ledger import WorkerLedger

PIXELS = Declaration(model="sdxl", units={Unit.PIXELS: 600, Unit.GENERATIONS: 1})


def exchange_of(
    route: str, plan: Plan, declared: Declaration = PIXELS, *, models: frozenset[str] | None = None
) -> Exchange:
    """Return the exchange of a request as edge and auth leave it."""
    exchange = Exchange(str(ULID()), 0.0, "POST", "/", route=BY_NAME[route])
    exchange.principal = Principal("app_a", "user_a", "key_a", "plan", plan, models=models)

    async def declare() -> Declaration:
        return declared

    exchange.declare = declare
    return exchange


async def passes(ledger: Ledger, exchange: Exchange) -> bool:
    """Return whether the request went on to the next stage. Raises `Refusal`."""
    went_on = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal went_on
        went_on = True

    async def receive() -> Message:
        raise AssertionError("nothing of it is read")

    async def send(message: Message) -> None:
        raise AssertionError("nothing is sent")

    scope = {"type": "http", "tollgate.exchange": exchange}
    await RateLimitMiddleware(app, ledger=ledger)(scope, receive, send)
    return went_on


async def refused(ledger: Ledger, exchange: Exchange) -> Refusal:
    """Return the refusal of a request that must not be admitted."""
    with pytest.raises(Refusal) as refusal:
        await passes(ledger, exchange)
    assert exchange.hold is None
    return refusal.value


async def test_an_admitted_request_has_a_hold_and_its_limits(
    worker: WorkerLedger, store: Store, keys: RedisKeys
) -> None:
    plan = Plan.model_validate({"limits": {"app": {"requests_per_minute": 10, "concurrent": 2}}})
    exchange = exchange_of("text-to-image", plan)
    assert await passes(worker.ledger, exchange)
    assert exchange.declared is PIXELS
    assert exchange.policy is not None
    assert exchange.hold is not None
    assert (exchange.hold.request_id, exchange.hold.model) == (exchange.request_id, "sdxl")
    assert exchange.hold.units == {Unit.REQUESTS: 1, **PIXELS.units}
    states = [(state.policy, state.remaining) for state in exchange.limit_states]
    assert states == [("app-requests-per-minute", 9), ("app-concurrent", 1)]
    holds = await store.redis.zrange(keys.shared(keys.tags[0]).holds, 0, -1)
    assert holds == [exchange.request_id.encode()]


async def test_whatever_is_no_request_passes(worker: WorkerLedger) -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)

    stage: Any = RateLimitMiddleware(app, ledger=worker.ledger)
    await stage({"type": "lifespan"}, None, None)
    assert scopes == [{"type": "lifespan"}]


REFUSALS: dict[str, tuple[dict[str, Any], int, str | None, dict[str, Any], str]] = {
    "rate_limited": (  # a window is counted in slots of a second, and the present one is not over
        {"limits": {"key": {"requests_per_minute": 1}}},
        429,
        "61",
        {"policy": "key-requests-per-minute", "unit": "requests", "limit": 1, "remaining": 0, "reset": 61},
        "At most 1 requests are allowed in 60 seconds (key-requests-per-minute). Try again in 61 seconds.",
    ),
    "concurrency_limited": (
        {"limits": {"user": {"concurrent": 1}}},
        429,
        "1",
        {"policy": "user-concurrent", "unit": "concurrent-requests", "limit": 1, "remaining": 0, "reset": 0},
        "At most 1 requests may run at once (user-concurrent). Wait for one to finish.",
    ),
    "plan_limit": (
        {"limits": {"app": {"caps": [{"unit": "pixels", "per": "day", "max": 1_000}]}}},
        402,
        None,
        {"policy": "app-pixels-per-day", "unit": "pixels", "limit": 1_000, "remaining": 400, "reset": 86_400},
        "The plan includes 1000 pixels per period (app-pixels-per-day); 400 are left, which this request may exceed. "
        "The period ends in 86400 seconds.",
    ),
    "insufficient_balance": (
        {"billing": "credits", "prices": [{"unit": "pixels", "amount": 7}]},
        402,
        None,
        {"policy": "balance", "unit": "amount", "limit": "0", "remaining": "0", "reset": 0},
        "The prepaid balance leaves 0, which this request may exceed. Add credit to go on.",
    ),
}
"""A plan under which the second of two requests is refused: status, `Retry-After`, members and detail."""


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_refusal_names_its_limit(worker: WorkerLedger, code: str) -> None:
    members, status, retry_after, expected, detail = REFUSALS[code]
    plan = Plan.model_validate(members)
    if code != "insufficient_balance":  # there is no credit for the first one either
        assert await passes(worker.ledger, exchange_of("text-to-image", plan))
    exchange = exchange_of("text-to-image", plan)
    refusal = await refused(worker.ledger, exchange)
    assert (refusal.status, refusal.code, refusal.detail) == (status, code, detail)
    assert refusal.members == {**expected, "violated-policies": [expected["policy"]]}
    assert refusal.headers == ([] if retry_after is None else [(b"retry-after", retry_after.encode())])
    assert [state.policy for state in exchange.limit_states] == [expected["policy"]]


async def test_a_shadow_limit_refuses_nobody(worker: WorkerLedger) -> None:
    plan = Plan.model_validate({"limits": {"app": {"requests_per_minute": {"max": 1, "shadow": True}}}})
    assert [await passes(worker.ledger, exchange_of("llm", plan, Declaration())) for _ in range(3)] == [True] * 3
    assert worker.reports.shadow == ["app-requests-per-minute"] * 2


@pytest.mark.parametrize(
    ("route", "model", "code"),
    [
        ("text-to-image", "sdxl", None),
        ("text-to-image", "sd15", "insufficient_scope"),
        ("text-to-image", None, "insufficient_scope"),
        ("byoc-stream-stop", None, None),
        ("byoc-stream-stop", "sd15", "insufficient_scope"),
        ("playback", None, None),
    ],
)
async def test_a_credential_limited_to_models(
    worker: WorkerLedger, route: str, model: str | None, code: str | None
) -> None:
    """What begins work must name one of them; what begins none need not name any."""
    exchange = exchange_of(route, Plan(), Declaration(model=model), models=frozenset({"sdxl", "flux"}))
    if code is None:
        assert await passes(worker.ledger, exchange)
        return
    refusal = await refused(worker.ledger, exchange)
    assert (refusal.status, refusal.code) == (403, code)
    assert refusal.members == {"allowed_models": ["flux", "sdxl"]}
    assert refusal.detail == (
        f"This credential may not use model {model!r}." if model else "This credential needs a named model."
    )


async def test_a_route_that_serves_a_running_stream_takes_no_slot(worker: WorkerLedger) -> None:
    """With one slot, a client could otherwise not watch, update or stop the stream that holds it."""
    plan = Plan.model_validate({"limits": {"app": {"concurrent": 1, "requests_per_minute": 5}}})
    assert await passes(worker.ledger, exchange_of("live-whip", plan, Declaration(model="noop")))
    for route in ("live-whep", "live-update", "live-status", "byoc-stream-stop"):
        assert not BY_NAME[route].takes_slot
        assert await passes(worker.ledger, exchange_of(route, plan, Declaration()))
    assert (await refused(worker.ledger, exchange_of("llm", plan, Declaration()))).code == "rate_limited"


async def test_the_limit_of_concurrent_requests_stands_for_all_other_routes(worker: WorkerLedger) -> None:
    plan = Plan.model_validate({"limits": {"app": {"concurrent": 1}}})
    assert await passes(worker.ledger, exchange_of("live-whip", plan, Declaration(model="noop")))
    for route in sorted(name for name, row in BY_NAME.items() if row.takes_slot):
        assert (await refused(worker.ledger, exchange_of(route, plan))).code == "concurrency_limited"


async def test_a_body_that_is_refused_is_not_admitted(worker: WorkerLedger) -> None:
    exchange = exchange_of("llm", Plan())

    async def declare() -> Declaration:
        raise Refusal(400, "malformed_json", "No.")

    exchange.declare = declare
    assert (await refused(worker.ledger, exchange)).code == "malformed_json"
