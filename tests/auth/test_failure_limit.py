"""Whoever guesses credentials is slowed down by its address; a good credential passes all the same."""

from typing import Any

import pytest

from config.access import Auth
from config.plans import BUILT_IN_PLANS
from middlewares.address_limit import AddressLimit
from middlewares.auth.middleware import AuthMiddleware, failure_limit
from middlewares.auth.verdict import Denial, Grant, Verdict
from middlewares.exchange import Exchange, Principal, Refusal
from middlewares.routes import BY_NAME

GOOD = Grant(Principal("app_1", None, "k", "free", BUILT_IN_PLANS["free"]), ())
WRONG = Denial(401, "invalid_credentials", "wrong")
GONE = Denial(403, "plan_unknown", "gone")


class Credentials:
    """Know two credentials; every other one is wrong."""

    def cached(self, credential: bytes) -> Verdict | None:
        known: dict[bytes, Verdict] = {b"good": GOOD, b"gone": GONE}
        return known.get(credential)

    async def judge(self, credential: bytes) -> Verdict:
        return WRONG


async def _passed_on(_scope: Any, _receive: Any, _send: Any) -> None:
    """Accept the request."""


class Stage:
    """The auth stage with a limit of three failures."""

    def __init__(self, limit: AddressLimit) -> None:
        self._app = AuthMiddleware(_passed_on, credentials=Credentials(), failure_limit=limit, used={})

    async def status(self, authorization: str | None, address: str = "192.0.2.1") -> int:
        """Return the status of a request; 200: it was passed on."""
        refusal = await self.refusal(authorization, address)
        return refusal.status if refusal else 200

    async def refusal(self, authorization: str | None, address: str = "192.0.2.1") -> Refusal | None:
        exchange = Exchange("01J", 0.0, "POST", "/llm", route=BY_NAME["llm"], client_address=address)
        headers = [(b"authorization", authorization.encode())] if authorization else []
        try:
            await self._app({"type": "http", "headers": headers, "tollgate.exchange": exchange}, _passed_on, _passed_on)  # type: ignore[arg-type]
        except Refusal as refusal:
            return refusal
        return None


@pytest.fixture
def stage() -> Stage:
    return Stage(failure_limit(3))


async def test_guesses_of_one_address_are_429_and_its_good_credential_passes(stage: Stage) -> None:
    assert [await stage.status("Bearer wrong") for _ in range(5)] == [401, 401, 401, 429, 429]
    assert await stage.status("Bearer good") == 200
    refusal = await stage.refusal("Bearer wrong")
    assert refusal is not None
    assert (refusal.status, refusal.code) == (429, "rate_limited")
    [(name, seconds)] = refusal.headers
    assert name == b"retry-after"
    assert 1 <= int(seconds) <= 60
    assert refusal.members["reset"] == int(seconds)
    assert "wrong" not in refusal.detail


async def test_every_form_of_a_refused_credential_counts(stage: Stage) -> None:
    forms = ["Bearer wrong", "Basic good", "Bearer"]
    assert [await stage.status(form) for form in forms] == [401] * 3
    assert await stage.status("Digest x") == 429


async def test_what_is_no_guess_does_not_count(stage: Stage) -> None:
    assert [await stage.status(None) for _ in range(5)] == [401] * 5
    assert [await stage.status("Bearer gone") for _ in range(5)] == [403] * 5
    assert await stage.status("Bearer wrong") == 401


async def test_addresses_are_counted_apart_and_ipv6_by_network(stage: Stage) -> None:
    assert [await stage.status("Bearer wrong", f"2001:db8::{n}") for n in range(5)] == [401] * 3 + [429] * 2
    assert await stage.status("Bearer wrong", "2001:db8:0:1::1") == 401
    assert await stage.status("Bearer wrong", "192.0.2.7") == 401


def test_the_default_is_half_a_failure_a_second() -> None:
    assert Auth().failures_per_minute == 30
