"""Hazard: a secret that someone sent in the wrong place, and that a log, a metric or an error repeats.

Recognisable ones are in the configuration, in every credential, and in every place of every request; none of them is
in anything that is written or returned, but for the one response that is there to show it.
"""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import httpx
import pytest

from tests.api.schema.canaries import Drive, canary
from tests.store.servers import RedisServer, binaries
from tests.support.builder import BuilderApp, builder_app
from tests.support.deployment import Deployment, deployed

LIMITS = {"requests_per_minute": 1_000_000, "token_requests_per_minute": 1_000_000}
CONFIGURED = ("pepper", "webhook secret", "export token", "redis password", "history password")
UNKNOWN = {"period": "2026-11", "session_id": "none", "delivery_id": f"msg_{'0' * 32}"}
MAIL = "canary-mail@Sing0Sing0.example"
UNREACHABLE = "postgresql://tollgate:{}@127.0.0.1:1/tollgate"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("history", ["at hand", "away"])
async def test_secrets_are_nowhere_but_in_the_response_that_shows_them(tmp_path: Path, history: str) -> None:
    secrets = {name: canary(name.replace(" ", "-")) for name in CONFIGURED}
    passwords = {name: secret for name, secret in secrets.items() if "password" in name}
    server = RedisServer(
        binaries(tmp_path)[0], tmp_path / "redis", "--requirepass", secrets["redis password"], tcp=True
    )
    unreachable = UNREACHABLE.format(secrets["history password"])
    config = {
        "redis_url": f"redis://:{secrets['redis password']}@{server.endpoint}",
        "log": {"level": "debug"},
        "control": LIMITS,
        "auth": {"failures_per_minute": 100_000, "key_pepper": secrets["pepper"]},
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
            app = await builder_app(running, http)
            drive = await driven(running, app, secrets, chosen=None if history == "at hand" else passwords)
            if history == "at hand":
                await drive.commands()
            await look(drive, running)
    finally:
        server.kill()


async def driven(running: Deployment, app: BuilderApp, secrets: dict[str, str], chosen: dict[str, str] | None) -> Drive:
    """Send every secret everywhere, or those that were chosen."""
    user = await app.user("ann", email=MAIL)
    await app.user("good")
    created = (await app.http.post(f"{app.path}/users/ann/keys", json={}, auth=app.basic)).json()
    of_app = {
        "client secret": app.secret,
        "API key": created["key"],
        "token of the app": await app.token(),
        "token of a user": await app.user_token(user),
        "Basic header": b64encode(f"{app.client_id}:{app.secret}".encode()).decode(),
    }
    url = {"url": "https://hooks.invalid/"}
    webhook = (await app.http.post(f"{app.path}/webhooks", json=url, auth=app.basic)).json()
    ids = {"client_id": app.client_id, "user": user, "key_id": created["key_id"], **UNKNOWN}
    ids["webhook_id"] = webhook["webhook_id"]
    drive = Drive(running, app, ids, secrets | of_app if chosen is None else chosen)
    drive.secrets["webhook secret"] = secrets["webhook secret"]
    schema = (await app.http.get("/api/v1/openapi.json")).json()
    await drive.everywhere(schema)
    return drive


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
