"""A wallet signs in over HTTP: what it gets, what that opens, and how it ends. Hazards: credentials that outlive it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import jwt
import pytest

from tests.sign_in.operator import Operator
from tests.support.builder import BuilderApp, bearer, builder_app
from tests.support.deployment import Deployment
from tests.support.wallet import AUTH, LOGIN, Wallet

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_a_wallet_signs_in_and_gets_a_session_and_a_token(
    wallet: Wallet, http: httpx.AsyncClient, running: Deployment
) -> None:
    challenge = await wallet.challenge(http)
    assert (challenge["domain"], challenge["uri"]) == (running.host, running.public)
    assert len(challenge["nonce"]) * 4 >= 128
    message = wallet.message(challenge)
    response = await http.post(LOGIN + "-jwt", json={"message": message, "signature": wallet.sign(message)})
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    found = response.json()
    assert found["address"] == wallet.address
    assert (found["developer"]["status"], found["developer"]["apps"], found["created_app"]) == ("active", [], None)
    claims = jwt.decode(found["token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 3_600
    assert abs(datetime.fromisoformat(found["expires_at"]).timestamp() - claims["exp"]) <= 1
    lifetime = datetime.fromisoformat(found["session_expires_at"]) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < lifetime <= timedelta(days=7)
    for credential in (found["session"], found["token"]):
        me = await http.get(f"{AUTH}/me", headers=bearer(credential))
        assert me.status_code == 200
        assert (me.json()["address"], me.json()["developer_id"]) == (wallet.address, claims["sub"])


async def test_the_token_is_signed_by_the_published_key_of_the_issuer(wallet: Wallet, http: httpx.AsyncClient) -> None:
    token = (await wallet.sign_in(http)).json()["token"]
    discovery = (await http.get("/.well-known/openid-configuration")).json()
    keys = jwt.PyJWKSet.from_dict((await http.get(discovery["jwks_uri"])).json())
    kid = jwt.get_unverified_header(token)["kid"]
    audience = discovery["issuer"].removesuffix("/oidc")
    claims = jwt.decode(token, keys[kid], ["ES256"], audience=audience, issuer=discovery["issuer"])
    assert claims["address"] == wallet.address


async def test_no_credential_of_a_developer_gives_billable_work(wallet: Wallet, http: httpx.AsyncClient) -> None:
    """Hazard: a credential of the same issuer that the data path takes for one of an app."""
    found = (await wallet.sign_in(http)).json()
    for credential in (found["session"], found["token"]):
        for path in ("/text-to-image", "/llm", "/v1/chat/completions", "/api/v1/inference/text-to-image", "/healthz"):
            refused = await http.post(path, json={"model_id": "m", "prompt": "p"}, headers=bearer(credential))
            assert refused.status_code in (401, 405), f"{path}: {refused.text}"
        own = await http.get("/api/v1/user/usage", headers=bearer(credential))
        assert (own.status_code, own.json()["code"]) == (403, "insufficient_scope")


async def test_a_log_out_ends_the_session_and_its_tokens_in_every_worker(
    wallet: Wallet, http: httpx.AsyncClient, running: Deployment
) -> None:
    found, other = (await wallet.sign_in(http)).json(), (await wallet.sign_in(http)).json()
    ended = await http.post(f"{AUTH}/logout", headers=bearer(found["token"]))
    assert (ended.status_code, ended.json()) == (200, {"ended": [found["session_id"]]})
    for credential in (found["session"], found["token"]):
        assert await statuses(running, credential) == {401}
    assert await statuses(running, other["session"]) == {200}


async def test_sessions_are_listed_and_ended_one_by_one_or_all(wallet: Wallet, http: httpx.AsyncClient) -> None:
    found = [(await wallet.sign_in(http)).json() for _ in range(3)]
    mine = bearer(found[0]["session"])
    listed = (await http.get(f"{AUTH}/sessions", headers=mine)).json()["sessions"]
    assert [each["session_id"] for each in listed] == [each["session_id"] for each in found]
    assert [each["current"] for each in listed] == [True, False, False]
    assert {(each["address"], each["client"].partition("/")[0]) for each in listed} == {("127.0.0.1", "python-httpx")}
    assert all(each["session"] not in str(listed) for each in found)
    one = await http.delete(f"{AUTH}/sessions/{found[1]['session_id']}", headers=mine)
    assert one.json() == {"ended": [found[1]["session_id"]]}
    assert (await http.get(f"{AUTH}/me", headers=bearer(found[1]["token"]))).status_code == 401
    every = await http.delete(f"{AUTH}/sessions", headers=mine)
    assert every.json() == {"ended": [found[0]["session_id"], found[2]["session_id"]]}
    for each in found:
        refused = await http.get(f"{AUTH}/me", headers=bearer(each["token"]))
        assert (refused.status_code, refused.json()["code"]) == (401, "session_ended")
        assert refused.headers["www-authenticate"].startswith("Bearer")
    assert (await wallet.sign_in(http)).status_code == 200


async def test_a_session_of_another_developer_does_not_exist(
    wallet: Wallet, http: httpx.AsyncClient, operator: Operator
) -> None:
    stranger = Wallet()
    await operator.add(stranger)
    theirs = (await stranger.sign_in(http)).json()
    mine = bearer((await wallet.sign_in(http)).json()["session"])
    for session in (theirs["session_id"], "a" * 16):
        response = await http.delete(f"{AUTH}/sessions/{session}", headers=mine)
        assert (response.status_code, response.json()["code"]) == (404, "unknown_id")
    assert (await http.get(f"{AUTH}/me", headers=bearer(theirs["session"]))).status_code == 200


async def test_a_developer_has_so_many_sessions_and_the_oldest_makes_room(
    wallet: Wallet, http: httpx.AsyncClient
) -> None:
    found = [(await wallet.sign_in(http)).json() for _ in range(21)]
    listed = (await http.get(f"{AUTH}/sessions", headers=bearer(found[-1]["session"]))).json()["sessions"]
    assert [each["session_id"] for each in listed] == [each["session_id"] for each in found[1:]]
    assert (await http.get(f"{AUTH}/me", headers=bearer(found[0]["session"]))).status_code == 401


async def test_a_suspended_developer_is_refused_everywhere_at_once_and_for_good(
    wallet: Wallet, http: httpx.AsyncClient, running: Deployment, operator: Operator
) -> None:
    """Hazard: sessions that come to life again with the developer."""
    app = await builder_app(running, http)
    found = (await wallet.sign_in(http)).json()
    developer = found["developer"]["developer_id"]
    await operator.member(app.client_id, developer, "owner")
    assert (await http.get(f"{app.path}/users", headers=bearer(found["token"]))).status_code == 200
    await operator.suspend(developer)
    for credential in (found["session"], found["token"]):
        assert await statuses(running, credential) == {401}
        assert (await http.get(f"{app.path}/users", headers=bearer(credential))).status_code == 401
    again = await wallet.sign_in(http)
    assert (again.status_code, again.json()["code"]) == (403, "developer_suspended")
    await operator.activate(developer)
    assert await statuses(running, found["session"]) == {401}
    assert (await wallet.sign_in(http)).status_code == 200


async def test_a_removed_member_and_a_suspended_app_are_closed_at_once(
    wallet: Wallet, http: httpx.AsyncClient, running: Deployment, operator: Operator
) -> None:
    app = await builder_app(running, http)
    found = (await wallet.sign_in(http)).json()
    developer, headers = found["developer"]["developer_id"], bearer(found["token"])
    await operator.member(app.client_id, developer, "viewer")
    [shown] = (await http.get(f"{AUTH}/me", headers=headers)).json()["apps"]
    assert shown == {"client_id": app.client_id, "name": "test", "status": "active", "role": "viewer"}
    assert (await http.get(f"{app.path}/usage", headers=headers)).status_code == 200
    await running.cli("apps", "suspend", app.client_id)
    refused = await http.get(f"{app.path}/usage", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "app_suspended")
    await running.cli("apps", "resume", app.client_id)
    await operator.remove(app.client_id, developer)
    gone = await http.get(f"{app.path}/usage", headers=headers)
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown_id")
    assert (await http.get(f"{AUTH}/me", headers=headers)).json()["apps"] == []


async def test_credentials_of_apps_and_users_sign_no_developer_in(running: Deployment, http: httpx.AsyncClient) -> None:
    app: BuilderApp = await builder_app(running, http)
    user = await app.user("ann")
    for credential in (await app.token(), await app.user_token(user), await running.key(app.client_id)):
        response = await http.get(f"{AUTH}/me", headers=bearer(credential))
        assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    assert (await http.get(f"{AUTH}/me", auth=app.basic)).status_code == 403
    assert (await http.get(f"{AUTH}/me")).status_code == 401


async def statuses(running: Deployment, credential: str) -> set[int]:
    """Return how `me` answers a credential, on connections enough to meet every worker."""

    async def one() -> int:
        async with httpx.AsyncClient(base_url=running.public, timeout=30, trust_env=False, verify=False) as client:
            return (await client.get(f"{AUTH}/me", headers=bearer(credential))).status_code

    return set(await asyncio.gather(*(one() for _ in range(8))))
