"""JWTs of an app's own login service, exchanged for tokens of its users over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import jwt
import pytest
import pytest_asyncio

from proxy.control.users import Users
from tests.oidc.identity_provider import Scene, scene_in
from tests.support.builder import bearer, builder_app

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Run a provider and a deployment."""
    async with scene_in(tmp_path_factory.mktemp("exchange")) as running:
        yield running


async def test_a_user_is_created_by_fifty_exchanges_at_once_and_once(scene: Scene) -> None:
    """Hazard: two users of one external id, whose usage and limits are counted apart."""
    paths = ["/api/v1/oidc/token", f"{scene.app.path}/oidc/token"]
    responses = await asyncio.gather(*(scene.exchange(scene.token("racer"), paths[number % 2]) for number in range(50)))
    assert [response.status_code for response in responses] == [200] * 50
    tokens = [response.json()["access_token"] for response in responses]
    named = [jwt.decode(each, options={"verify_signature": False}) for each in tokens]
    assert len({each["sub"] for each in named}) == 1
    assert {each["external_user_id"] for each in named} == {"racer"}
    async with scene.running.store() as store:
        users = await Users(store.redis).list(scene.app.client_id)
    assert [user.user_id for user in users if user.external_id == "racer"] == [named[0]["sub"]]
    lines = (await scene.app.http.get(f"{scene.app.path}/audit", auth=scene.app.basic)).json()["lines"]
    created = [each for each in lines if each["action"] == "user.create" and each["target"] == named[0]["sub"]]
    assert [(each["actor"], each["detail"]["issuer"]) for each in created] == [
        (scene.app.client_id, scene.provider.origin)
    ]
    work = await scene.app.http.post(
        "/llm",
        json={"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]},
        headers=bearer(tokens[0]),
    )
    assert work.status_code == 200
    [event] = await scene.running.settled(1, scene.app.client_id)
    assert event["user"] == named[0]["sub"]


async def test_a_token_may_be_exchanged_again_and_lives_no_longer_than_what_it_was_issued_for(scene: Scene) -> None:
    subject = scene.token("short", exp=int(time.time()) + 120)
    for _ in range(3):
        response = await scene.exchange(subject)
        assert response.status_code == 200, response.text
        document = response.json()
        assert 60 < document["expires_in"] <= 120
        assert document["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
        end = jwt.decode(document["access_token"], options={"verify_signature": False})["exp"]
        assert end <= jwt.decode(subject, options={"verify_signature": False})["exp"]
    assert (await scene.exchange(scene.token("long"))).json()["expires_in"] == 900
    late = await scene.exchange(scene.token("late", exp=int(time.time()) - 5))  # within the leeway
    assert (late.status_code, late.json()["error"]) == (400, "invalid_request")


async def test_a_token_of_single_use_is_exchanged_once(scene: Scene) -> None:
    app = await builder_app(scene.running, scene.app.http)
    await scene.register(app, single_use=True)
    single = Scene(scene.running, scene.provider, app, scene.user)
    sent = single.token("once")
    responses = await asyncio.gather(*(single.exchange(sent) for _ in range(20)))
    assert sorted(response.status_code for response in responses) == [200] + [400] * 19
    unnamed = await single.exchange(single.token("once", jti=None))
    assert (unnamed.status_code, unnamed.json()["error"]) == (400, "invalid_request")
    assert (await scene.exchange(sent)).status_code == 200, "another app has not used it"


async def test_a_suspended_user_gets_no_token(scene: Scene) -> None:
    await scene.exchange(scene.token("suspended"))
    await scene.app.http.patch(f"{scene.app.path}/users/suspended", json={"status": "suspended"}, auth=scene.app.basic)
    response = await scene.exchange(scene.token("suspended"))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert response.json()["code"] == "access_denied"
    assert response.headers["cache-control"] == "no-store"


async def test_an_app_exchanges_tokens_of_its_own_issuer_alone(scene: Scene) -> None:
    other = await builder_app(scene.running, scene.app.http)
    without = Scene(scene.running, scene.provider, other, scene.user)
    response = await without.exchange(scene.token("stranger"))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    await scene.register(other, audience="another")
    response = await without.exchange(scene.token("stranger"))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    async with scene.running.store() as store:
        assert await Users(store.redis).list(other.client_id) == []
    grown = await scene.exchange(scene.token("stranger"), scope="admin")
    assert (grown.status_code, grown.json()["error"]) == (400, "invalid_scope")


async def test_an_issuer_that_cannot_be_reached_is_to_be_tried_again(scene: Scene) -> None:
    app = await builder_app(scene.running, scene.app.http)
    await scene.register(app, issuer="https://10.255.255.1")
    away = Scene(scene.running, scene.provider, app, scene.user)
    response = await away.exchange(away.token(iss="https://10.255.255.1"))
    assert (response.status_code, response.json()["error"]) == (503, "temporarily_unavailable")
    assert response.headers["retry-after"] == "1"
