"""A client whose credential is a token of an identity provider that the operator trusts."""

import time
from typing import Any

import jwt
import pytest

from proxy.control.apps import Apps
from tests.auth.issuer import AUDIENCE, claims, encoded, rsa_key, token
from tests.support.deployment import Deployment
from tests.support.wire import Answer, Wire, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

NOW = int(time.time())
OTHER = rsa_key("other")


async def ask(gate: Deployment, credential: bytes) -> Answer:
    fields = [("Authorization", f"Bearer {credential.decode()}"), ("X-Mock-Gateway", "bytes=3")]
    async with await Wire.open(gate.address) as wire:
        return await wire.ask(request("GET", "/stream/a.ts", fields))


async def test_a_good_token_is_served_and_billed_to_its_app_and_user(crowd: Deployment) -> None:
    customer = await crowd.customer()
    answer = await ask(crowd, token(claims(app=customer.app, sub="ann_1")))
    assert (answer.status, len(answer.body)) == (200, 3)
    [event] = await crowd.settled(1, customer.app)
    assert (event["id"], event["user"], event["key"]) == (answer.get("x-request-id"), "ann_1", None)
    assert crowd.record(event["id"]).header("authorization") is None


async def test_its_plan_and_its_user_are_what_is_limited(crowd: Deployment) -> None:
    customer = await crowd.customer()
    ann, bob = (token(claims(app=customer.app, sub=sub, plan="ten-per-user")) for sub in ("ann", "bob"))
    assert [(await ask(crowd, ann)).status for _ in range(11)] == [200] * 10 + [429]
    assert (await ask(crowd, bob)).status == 200
    events = await crowd.settled(11, customer.app)
    assert {event["plan"].partition("@")[0] for event in events} == {"ten-per-user"}


def by_hmac(payload: dict[str, Any]) -> bytes:
    """Signed with the issuer's public key as if it were a shared secret."""
    public = rsa_key().public_key()
    secret = public.public_numbers().n.to_bytes(256)
    return jwt.encode(payload, secret, "HS256", headers={"kid": "k1"}).encode()


def unsigned(payload: dict[str, Any]) -> bytes:
    return jwt.encode(payload, "", "none", headers={"kid": "k1"}).encode()


def altered(payload: dict[str, Any]) -> bytes:
    """Good but for its claims, which were changed after it was signed."""
    head, _, signature = token(payload).split(b".")
    _, body, _ = unsigned({**payload, "plan": "unlimited"}).split(b".")
    return b".".join((head, body, signature))


@pytest.mark.parametrize(
    ("forge", "changes"),
    [
        (token, {"exp": NOW - 3_600}),
        (token, {"nbf": NOW + 3_600}),
        (token, {"exp": None}),
        (token, {"sub": None}),
        (token, {"aud": "another"}),
        (token, {"iss": "https://evil.example"}),
        (token, {"app": None}),
        (token, {"app": "app_aaaaaaaaaaaaaaaa"}),
        (token, {"sub": "not/a/user"}),
        (lambda payload: token(payload, key=OTHER), {}),
        (lambda payload: token(payload, kid="../../etc/passwd"), {}),
        (lambda payload: token(payload, kid="k2"), {}),
        (lambda payload: token(payload, algorithm="RS512"), {}),
        (by_hmac, {}),
        (unsigned, {}),
        (altered, {}),
        (lambda payload: token(payload)[:-1], {}),
        (lambda payload: token(payload) + b"." + encoded(b"{}"), {}),
    ],
)
async def test_a_wrong_token_is_401_and_goes_no_further(crowd: Deployment, forge: Any, changes: dict[str, Any]) -> None:
    customer = await crowd.customer()
    seen = crowd.gateway.counters["seen"]
    answer = await ask(crowd, forge(claims(**{"app": customer.app, "aud": AUDIENCE, **changes})))
    assert answer.status == 401
    assert answer.code in ("invalid_token", "token_expired", "invalid_credentials")
    assert "invalid_token" in (answer.get("www-authenticate") or "")
    assert crowd.gateway.counters["seen"] == seen
    assert await crowd.events(customer.app) == []


async def test_a_token_of_a_suspended_app_is_refused(crowd: Deployment) -> None:
    customer = await crowd.customer()
    good = token(claims(app=customer.app))
    assert (await ask(crowd, good)).status == 200
    async with crowd.store() as store:
        await Apps(store.redis, None).set_status(customer.app, "suspended")
    answer = await ask(crowd, good)
    while answer.status == 200:
        answer = await ask(crowd, good)
    assert (answer.status, answer.code) == (401, "app_suspended")
