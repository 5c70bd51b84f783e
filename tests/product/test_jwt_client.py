"""Clients whose credential is a token of an identity provider that the operator trusts."""

import time
from typing import Any

import jwt
import pytest

from proxy.control.apps import Apps
from tests.auth.issuer import AUDIENCE, claims, encoded, rsa_key, token
from tests.support.deployment import Deployment
from tests.support.raw_http import RawConnection, Response, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

NOW = int(time.time())
OTHER = rsa_key("other")


async def send_request(deployment: Deployment, credential: bytes) -> Response:
    headers = [("Authorization", f"Bearer {credential.decode()}"), ("X-Mock-Gateway", "bytes=3")]
    async with await RawConnection.open(deployment.address) as connection:
        return await connection.exchange(request("GET", "/stream/a.ts", headers))


async def test_a_good_token_is_served_and_billed_to_its_app_and_user(limited_deployment: Deployment) -> None:
    customer = await limited_deployment.customer()
    response = await send_request(limited_deployment, token(claims(app=customer.app, sub="ann_1")))
    assert (response.status, len(response.body)) == (200, 3)
    [event] = await limited_deployment.settled(1, customer.app)
    assert (event["id"], event["user"], event["key"]) == (response.get("x-request-id"), "ann_1", None)
    assert limited_deployment.record(event["id"]).header("authorization") is None


async def test_its_plan_and_its_user_are_what_is_limited(limited_deployment: Deployment) -> None:
    customer = await limited_deployment.customer()
    ann, bob = (token(claims(app=customer.app, sub=sub, plan="ten-per-user")) for sub in ("ann", "bob"))
    assert [(await send_request(limited_deployment, ann)).status for _ in range(11)] == [200] * 10 + [429]
    assert (await send_request(limited_deployment, bob)).status == 200
    events = await limited_deployment.settled(11, customer.app)
    assert {event["plan"].partition("@")[0] for event in events} == {"ten-per-user"}


def by_hmac(payload: dict[str, Any]) -> bytes:
    """Return a token signed with the issuer's public key as if it were a shared secret."""
    public = rsa_key().public_key()
    secret = public.public_numbers().n.to_bytes(256)
    return jwt.encode(payload, secret, "HS256", headers={"kid": "k1"}).encode()


def unsigned(payload: dict[str, Any]) -> bytes:
    return jwt.encode(payload, "", "none", headers={"kid": "k1"}).encode()


def altered(payload: dict[str, Any]) -> bytes:
    """Return a token whose claims were changed after it was signed."""
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
async def test_a_wrong_token_is_401_and_goes_no_further(
    limited_deployment: Deployment, forge: Any, changes: dict[str, Any]
) -> None:
    customer = await limited_deployment.customer()
    seen = limited_deployment.gateway.counters["seen"]
    response = await send_request(
        limited_deployment, forge(claims(**{"app": customer.app, "aud": AUDIENCE, **changes}))
    )
    assert response.status == 401
    assert response.code in ("invalid_token", "token_expired", "invalid_credentials")
    assert "invalid_token" in (response.get("www-authenticate") or "")
    assert limited_deployment.gateway.counters["seen"] == seen
    assert await limited_deployment.events(customer.app) == []


async def test_a_token_of_a_suspended_app_is_refused(limited_deployment: Deployment) -> None:
    customer = await limited_deployment.customer()
    good = token(claims(app=customer.app))
    assert (await send_request(limited_deployment, good)).status == 200
    async with limited_deployment.store() as store:
        await Apps(store.redis, None).set_status(customer.app, "suspended")
    response = await send_request(limited_deployment, good)
    while response.status == 200:
        response = await send_request(limited_deployment, good)
    assert (response.status, response.code) == (401, "app_suspended")
