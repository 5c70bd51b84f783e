"""What the issuer does for people is in the audit log; what a caller does with its own credential fills no log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
import pytest_asyncio

from tests.oidc.identity_provider import Scene, scene_in
from tests.support.builder import ACCESS_TOKEN, API_KEY, TOKEN, TOKEN_EXCHANGE, BuilderApp, builder_app

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Run a provider and a deployment."""
    async with scene_in(tmp_path_factory.mktemp("audit")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def own(scene: Scene) -> Scene:
    """Return the scene with an app of its own, which has no audit lines yet."""
    app = await builder_app(scene.running, scene.app.http)
    await scene.register(app)
    return Scene(scene.running, scene.provider, app, "")


async def lines(app: BuilderApp) -> list[dict[str, Any]]:
    """Return the audit lines of an app, oldest first."""
    response = await app.http.get(f"{app.path}/audit", params={"limit": 1_000}, auth=app.basic)
    return list(reversed(response.json()["lines"]))


async def acts(app: BuilderApp) -> list[tuple[str, str, str, str | None]]:
    """Return action, target, result and code of the audit lines of an app, oldest first."""
    return [(each["action"], each["target"], each["result"], each["code"]) for each in await lines(app)]


async def test_a_user_that_an_exchange_creates_and_each_token_for_it_have_a_line(own: Scene) -> None:
    """Hazard: a user whom nobody has created, and who has tokens."""
    response = await own.exchange(own.token("newcomer"))
    user = jwt.decode(response.json()["access_token"], options={"verify_signature": False})["sub"]
    assert (await own.exchange(own.token("newcomer"), f"{own.app.path}/oidc/token")).status_code == 200
    issued = ("token.issue", user, "done", None)
    assert await acts(own.app) == [("user.create", user, "done", None), issued, issued]
    for line in await lines(own.app):
        assert (line["actor_kind"], line["actor"], line["address"]) == ("app", own.app.client_id, "127.0.0.1")
    assert (await lines(own.app))[-1]["detail"]["scope"] == "sign:job"


async def test_an_app_that_renews_the_token_of_a_user_leaves_a_line(own: Scene) -> None:
    """Hazard: a token that lives on for ever by exchanges of which nothing tells."""
    user = await own.app.user("ann")
    token = await own.app.user_token(user, "inference sign:job")
    fields = {"grant_type": TOKEN_EXCHANGE, "subject_token_type": ACCESS_TOKEN, "scope": "sign:job"}
    response = await own.app.form(TOKEN, **fields, subject_token=token)
    assert response.status_code == 200, response.text
    assert (await acts(own.app))[-2:] == [("token.issue", user, "done", None)] * 2


async def test_an_app_that_is_refused_a_token_of_a_user_leaves_a_line(own: Scene) -> None:
    """Hazard: tries that were in vain, of which an operator sees nothing; or that tell what was tried."""
    token = await own.app.user_token(await own.app.user("ann"))
    created = await own.exchange(own.token("late"))
    user = jwt.decode(created.json()["access_token"], options={"verify_signature": False})["sub"]
    await own.app.http.patch(f"{own.app.path}/users/{user}", json={"status": "suspended"}, auth=own.app.basic)
    count = len(await lines(own.app))
    assert (await own.exchange(own.token("late"))).status_code == 400
    wrong = f"{token[:-4]}AAAA"
    fields = {"grant_type": TOKEN_EXCHANGE, "subject_token_type": ACCESS_TOKEN}
    assert (await own.app.form(TOKEN, **fields, subject_token=wrong)).status_code == 400
    assert (await acts(own.app))[count:] == [
        ("token.issue", user, "refused", "access_denied"),
        ("token.issue", "", "refused", "subject_token_invalid"),
    ]
    assert wrong[:40] not in str(await lines(own.app))


async def test_tokens_for_oneself_have_no_lines(own: Scene) -> None:
    """Hazard: a log that programs fill by the thousand, so that nobody finds in it what people did."""
    for _ in range(5):
        await own.app.token()
    key = await own.running.key(own.app.client_id)
    for secret in (own.app.secret, ""):
        response = await own.app.form(
            TOKEN, grant_type=TOKEN_EXCHANGE, subject_token_type=API_KEY, subject_token=key, client_secret=secret
        )
        assert response.status_code == 200, response.text
    assert await lines(own.app) == []
