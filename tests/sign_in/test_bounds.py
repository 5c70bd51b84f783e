"""Hazards: sign-ins that are guessed for ever, nonces without end, and secrets that a log or an error repeats."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.sign_in.operator import Operator
from tests.support.builder import bearer
from tests.support.deployment import Deployment, deployed
from tests.support.wallet import AUTH, LOGIN, NONCE, Wallet

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bounded(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Deployment, httpx.AsyncClient]]:
    """Run one worker with narrow limits, which believes a proxy on this machine."""
    config = {
        "sign_in": {"wallet": True, "nonces": 100, "nonces_per_address": 3},
        "auth": {"failures_per_minute": 3},
        "edge": {"trusted_proxies": ["127.0.0.1"]},
    }
    async with (
        deployed(tmp_path_factory.mktemp("bounded"), config) as deployment,
        httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False, timeout=30) as http,
    ):
        yield deployment, http


def at(address: str) -> dict[str, str]:
    """Return the header of a client at an address."""
    return {"x-forwarded-for": address}


async def test_refused_sign_ins_are_counted_by_address_and_good_ones_pass(
    bounded: tuple[Deployment, httpx.AsyncClient],
) -> None:
    deployment, http = bounded
    wallet = Wallet()
    await Operator(deployment).add(wallet)
    bad = {"message": "a", "signature": "0x"}
    statuses = [(await http.post(LOGIN, json=bad, headers=at("192.0.2.1"))).status_code for _ in range(5)]
    assert statuses == [400, 400, 400, 429, 429]
    assert (await http.post(LOGIN, json=bad, headers=at("192.0.2.2"))).status_code == 400
    message = wallet.message(await wallet.challenge(http))
    signed = {"message": message, "signature": wallet.sign(message)}
    good = await http.post(LOGIN, json=signed, headers=at("192.0.2.1"))
    assert good.status_code == 200, "a wallet that is good still signs in"
    limited = await http.post(LOGIN, json=bad, headers=at("192.0.2.1"))
    assert (limited.json()["code"], limited.json()["policy"]) == ("rate_limited", "sign-in-failures")
    assert int(limited.headers["retry-after"]) >= 1


async def test_guessed_sessions_are_counted_too(bounded: tuple[Deployment, httpx.AsyncClient]) -> None:
    _, http = bounded
    guess = bearer("tgd_" + "a" * 16 + "_" + "0" * 49) | at("192.0.2.9")
    assert [(await http.get(f"{AUTH}/me", headers=guess)).status_code for _ in range(4)] == [401, 401, 401, 429]


async def test_nothing_of_message_signature_or_session_is_in_a_log_metric_or_error(
    bounded: tuple[Deployment, httpx.AsyncClient],
) -> None:
    deployment, http = bounded
    wallet, operator = Wallet(), Operator(deployment)
    developer = await operator.add(wallet)
    good = await wallet.sign_in(http)
    found = good.json()
    message = wallet.message(await wallet.challenge(http), request_id="canary-in-the-message")
    signature = wallet.sign(message)
    answers = [
        await http.post(LOGIN, json={"message": message + "\n", "signature": signature}, headers=at("192.0.2.21")),
        await http.post(LOGIN, json={"message": message, "signature": signature[:-2]}, headers=at("192.0.2.22")),
        await http.post(LOGIN, json={"message": message, "signature": signature}, headers=at("192.0.2.23")),
        await http.post(LOGIN, json={"message": [message], "signature": signature}, headers=at("192.0.2.24")),
        await http.post(LOGIN, json={"message": message * 99, "signature": signature * 999}, headers=at("192.0.2.25")),
        await http.post(LOGIN, json={"message": message, "signature": signature, "invite": "canary" * 99}),
        await http.post(LOGIN, content=message + signature, headers=at("192.0.2.26")),
    ]
    assert {each.status_code for each in answers} == {400, 401}
    await http.post(f"{AUTH}/logout", headers=bearer(found["session"]))
    _, audit, _ = await deployment.cli("audit", "list", "--json")
    assert developer in audit
    texts = [each.text for each in answers]
    texts += [audit, (await http.get(f"{deployment.private}/metrics")).text, json.dumps(deployment.lines())]
    texts.append(deployment.log.read_text())
    for secret in ("canary", signature[2:40], signature[-40:-4], found["session"][25:60], found["token"][-40:]):
        assert all(secret not in text for text in texts), secret
    async with deployment.store() as store:
        for name in await store.redis.keys("tollgate:*"):
            assert found["session"][25:60].encode() not in name


async def test_what_naap_lets_anybody_do_is_no_route_here(bounded: tuple[Deployment, httpx.AsyncClient]) -> None:
    """Hazards: a session for an address that is only named, and a token whose signature nobody looks at."""
    _, http = bounded
    address = Wallet().address
    for path in ("/api/v1/base/auth/connect", "/api/v1/auth/connect", f"{AUTH}/siwe"):
        assert (await http.post(path, json={"address": address, "signature": "0x", "jwt": "a.b.c"})).status_code == 404


async def test_so_many_nonces_wait_to_be_used(bounded: tuple[Deployment, httpx.AsyncClient]) -> None:
    deployment, http = bounded
    wallet = Wallet()
    await Operator(deployment).add(wallet)
    first = [(await http.post(NONCE, headers=at("192.0.2.8"))).json() for _ in range(3)]
    full = await http.post(NONCE, headers=at("192.0.2.8"))
    assert (full.status_code, full.json()["code"]) == (429, "rate_limited")
    message = wallet.message(first[0])
    assert (await http.post(LOGIN, json={"message": message, "signature": wallet.sign(message)})).status_code == 200
    assert (await http.post(NONCE, headers=at("192.0.2.8"))).status_code == 200, "a used one makes room"
    issued = 0
    while (over := await http.post(NONCE, headers=at(f"198.51.100.{issued}"))).status_code == 200:
        issued += 1
        assert issued <= 97
    assert issued >= 90
    assert (over.status_code, over.json()["code"]) == (503, "nonces_exhausted")
    assert int(over.headers["retry-after"]) >= 1
