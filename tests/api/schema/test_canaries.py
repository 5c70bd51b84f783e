"""Hazard: a secret that someone sent in the wrong place, and that a log, a metric or an error repeats.

Recognisable ones are in the configuration, in every credential, and in every place of every request; none of them is
in anything that is written or returned, but for the one response that is there to show it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from middlewares.auth.records import Role
from tests.api.admin.conftest import ADMIN
from tests.api.schema.administered import Administered, administered
from tests.api.schema.canaries import Drive, canary
from tests.api.schema.matrix import ROLES, basic, signed_in_member
from tests.api.waiting_webhook import paused_webhook
from tests.store.servers import RedisServer, binaries
from tests.support.builder import bearer, builder_app
from tests.support.deployment import Deployment, deployed

pytestmark = pytest.mark.slow

LIMITS = {"requests_per_minute": 1_000_000, "token_requests_per_minute": 1_000_000}
CONFIGURED = ("pepper", "webhook secret", "export token", "redis password", "history password")
UNKNOWN = {"period": "2026-11", "delivery_id": f"msg_{'0' * 32}"}
KINDS = ("pepper", "token of the app")
"""Secrets that stand for all others: one that nothing marks as such, and one that its form does."""
AWAY = ("redis password", "history password", "webhook secret")
"""Secrets that errors could repeat where the history cannot be reached."""
MAIL = "canary-mail@Sing0Sing0.example"
MAKES_SECRETS = ("/apps", "/secret", "/apps/{client_id}/keys", "/operators", "/invites", "/webhooks")
"""How the routes end whose response shows a new secret."""
UNREACHABLE = "postgresql://tollgate:{}@127.0.0.1:1/tollgate"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("history", "kinds"),
    [
        ("at hand", KINDS),
        ("away", AWAY[1:]),
        pytest.param("at hand", (), marks=pytest.mark.fuzz, id="every secret"),
        pytest.param("away", AWAY, marks=pytest.mark.fuzz, id="every secret, away"),
    ],
)
async def test_secrets_are_nowhere_but_in_the_response_that_shows_them(
    tmp_path: Path, history: str, kinds: tuple[str, ...]
) -> None:
    secrets = {name: canary(name.replace(" ", "-")) for name in CONFIGURED}
    server = RedisServer(
        binaries(tmp_path)[0], tmp_path / "redis", "--requirepass", secrets["redis password"], tcp=True
    )
    unreachable = UNREACHABLE.format(secrets["history password"])
    config = {
        "redis_url": f"redis://:{secrets['redis password']}@{server.endpoint}",
        "log": {"level": "debug"},
        "control": LIMITS,
        "auth": {"failures_per_minute": 100_000, "key_pepper": secrets["pepper"]},
        "sign_in": {"wallet": True},
        "sign_up": {"policy": "invite"},
        "export": {"token": secrets["export token"], "postgresql_url": unreachable},
        **({"history_url": unreachable} if history == "away" else {}),
    }
    environment = {"TOLLGATE_WEBHOOKS__SECRET": secrets["webhook secret"]}
    server.start()
    try:
        async with (
            deployed(tmp_path, config, environment) as running,
            httpx.AsyncClient(base_url=running.public, timeout=30, trust_env=False, verify=False) as http,
        ):
            drive = Drive(running, await builder_app(running, http), secrets)
            records = await prepared(drive)
            if history == "away":
                drive.secrets = {name: secrets[name] for name in kinds}
            await drive.everywhere((await http.get("/api/v1/openapi.json")).json(), drive.callers, chosen=kinds)
            await drive.good_keys()
            await drive.elsewhere()
            if history == "at hand":
                await drive.commands()
            callers = admins_first(records) | drive.callers
            await drive.everywhere(takes_something(records), callers, records.origin, chosen=kinds)
            if history == "at hand":
                await make_secrets(drive, records)
            await look(drive, running)
    finally:
        server.kill()


async def prepared(drive: Drive) -> Administered:
    """Give the app users, a key, members and operators; all that they authenticate with are secrets."""
    app, running = drive.app, drive.deployment
    user = await app.user("ann", email=MAIL)
    await app.user("good")
    created = (await app.http.post(f"{app.path}/users/ann/keys", json={}, auth=app.basic)).json()
    members = {role: await signed_in_member(running, app, role) for role in ROLES}
    webhook = await paused_webhook(app)
    ids = {"client_id": app.client_id, "user": user, "key_id": created["key_id"], **UNKNOWN}
    ids |= {"webhook_id": webhook["webhook_id"], "link_id": await app.portal_link(user)}
    records = await administered(running, app, ids)
    drive.ids = ids | records.ids | {"session_id": members["owner"]["session_id"]}
    drive.secrets |= {
        "client secret": app.secret,
        "API key": created["key"],
        "token of the app": await app.token(),
        "token of a user": await app.user_token(user),
        "session of its owner": members["owner"]["session"],
        "operator key": credential_of(records.operators[Role.ADMIN]),
        "Basic header": basic(app).removeprefix("Basic "),
    }
    drive.callers = {"Basic": {"authorization": basic(app)}, "user": bearer(drive.secrets["token of a user"])}
    for role, member in members.items():
        drive.callers |= {f"{name} of its {role}": bearer(member[name]) for name in ("session", "token")}
    others = (drive.callers | {str(role): headers for role, headers in records.operators.items()}).items()
    drive.issued |= {name: credential_of(headers) for name, headers in others}
    drive.issued["secret of a webhook"] = webhook["secret"]
    return records


def credential_of(headers: dict[str, str]) -> str:
    """Return what a header presents."""
    return headers["authorization"].partition(" ")[2]


def admins_first(records: Administered) -> dict[str, dict[str, str]]:
    """Return the operators, the strongest first."""
    return {str(role): records.operators[role] for role in reversed(Role)}


def takes_something(records: Administered) -> dict[str, Any]:
    """Return the schema of the admin API without the route that takes nothing and replaces all workers each time."""
    paths = {path: methods for path, methods in records.schema["paths"].items() if not path.endswith("/reload")}
    return {**records.schema, "paths": paths}


async def make_secrets(drive: Drive, records: Administered) -> None:
    """Make what responses of the admin API show once, then read the audit lines of all that was done and refused."""
    admin, before = records.operators[Role.ADMIN], len(drive.issued)
    webhooks, url = f"{records.origin}{ADMIN}/webhooks", {"url": "https://hooks.invalid/"}
    drive.ids["webhook_id"] = (await drive.app.http.post(webhooks, json=url, headers=admin)).json()["webhook_id"]
    for method, path, operation in records.routes():
        if path.endswith(MAKES_SECRETS) and method == "POST":
            target, body = records.origin + path.format(**drive.ids), records.body(operation)
            assert await drive.send(f"good {method} {path}", method, target, json=body, headers=admin) in (200, 201)
    assert len(drive.issued) - before == 7
    for app in ({}, {"client_id": drive.app.client_id}):
        audit, params = f"{records.origin}{ADMIN}/audit", {"limit": "1000", **app}
        assert await drive.send(f"audit lines of {app}", "GET", audit, params=params, headers=admin) == 200


async def look(drive: Drive, running: Deployment) -> None:
    """Look for every secret in everything that was returned and written."""
    texts = dict(drive.texts)
    texts["the schema"] = (await drive.app.http.get("/api/v1/openapi.json")).text
    texts["the page of the schema"] = (await drive.app.http.get("/api/v1/docs")).text
    texts["metrics"] = (await drive.app.http.get(f"{running.private}/metrics")).text
    written = {"the log": running.log.read_text(), "metrics": texts["metrics"]}
    secrets = {**drive.secrets, **drive.issued}
    print(f"{len(secrets)} secrets, {drive.requests} requests, {len(texts)} texts")
    assert len(written["the log"].splitlines()) > drive.requests / 2
    for name, secret in secrets.items():
        seen = secret[-40:-1]
        found = {place: around(text, seen) for place, text in (texts | written).items() if seen in text}
        assert found == {}, f"{name} ({len(found)} places)"
    errors = {place: text for place, text in texts.items() if ", response 2" not in place}
    audit = {place: text for place, text in texts.items() if "audit" in place}
    assert [place for place, text in (errors | audit | written).items() if MAIL in text] == []
    assert "Traceback" not in written["the log"]


def around(text: str, seen: str) -> str:
    """Return what stands before and behind a text that should not be there."""
    before, _, behind = text.partition(seen)
    return f"{before[-200:]}[...]{behind[:100]}"
