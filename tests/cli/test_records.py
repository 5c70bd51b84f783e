"""Apps, users and keys from the command line."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.access import Auth
from config.plans import BUILT_IN_PLANS
from middlewares.auth.verdict import Denial, Grant
from proxy.identity.authentication import Authentication
from proxy.store.store import Store
from tests.cli.conftest import Tollgate
from tests.store.servers import eventually


def test_an_app_is_created_listed_and_shown(tollgate: Tollgate) -> None:
    made = tollgate("apps", "create", "Acme & Söhne", "--plan", "premium", "--json").json
    secret = made.pop("client_secret")
    assert re.fullmatch(r"tgs_[0-9A-Za-z]{49}", secret)
    assert re.fullmatch(r"app_[a-z2-7]{16}", made["client_id"])
    assert (made["name"], made["plan"], made["tier"], made["status"]) == ("Acme & Söhne", "premium", None, "active")
    assert tollgate("apps", "list", "--json").json == [made]
    assert tollgate("apps", "show", made["client_id"], "--json").json == made
    shown = tollgate("apps", "show", made["client_id"])
    assert f"client_id:  {made['client_id']}\n" in shown.out
    table = tollgate("apps", "list").out.splitlines()
    assert table[0].split() == ["client_id", "name", "plan", "tier", "status", "created_at"]
    assert len(table) == 2
    assert made["client_id"] in table[1]


def test_apps_are_suspended_and_resumed(tollgate: Tollgate, client_id: str) -> None:
    for command, status in (("suspend", "suspended"), ("suspend", "suspended"), ("resume", "active")):
        assert tollgate("apps", command, client_id, "--json").json["status"] == status
        assert tollgate("apps", "show", client_id, "--json").json["status"] == status


def test_the_issuer_of_an_app_is_registered_and_removed(tollgate: Tollgate, client_id: str) -> None:
    names = ("issuer", "audience", "jwks_url", "single_use")
    given = ("--issuer", "https://login.example", "--audience", "tollgate", "--single-use")
    for options, expected in (
        (given, ("https://login.example", "tollgate", None, True)),
        ((*given[:4], "--jwks-url", "https://k/"), ("https://login.example", "tollgate", "https://k/", False)),
        (("--no-issuer",), (None, None, None, None)),
    ):
        changed = tollgate("apps", "change", client_id, *options, "--json").json
        assert tuple(changed[name] for name in names) == expected
        assert tollgate("apps", "show", client_id, "--json").json == changed
    assert tollgate("apps", "change", "app_aaaaaaaaaaaaaaaa", "--no-issuer").code == 1
    found = tollgate("audit", "list", "--action", "app.change", "--json").json
    assert [(each["target"], each["result"], each["texts"].get("issuer")) for each in found] == [
        (client_id, "done", "https://login.example"),
        (client_id, "done", "https://login.example"),
        (client_id, "done", None),
        ("app_aaaaaaaaaaaaaaaa", "refused", None),
    ]


def test_a_key_is_created_listed_and_revoked(tollgate: Tollgate, client_id: str) -> None:
    user = tollgate("users", "create", "--app", client_id, "--external-id", "ann", "--json").json["user_id"]
    made = tollgate(
        *("keys", "create", "--app", client_id, "--user", user, "--name", "laptop", "--expires-in", "30d"),
        *(
            "--workload",
            "llm",
            "--workload",
            "byoc",
            "--model",
            "m1",
            "--cidr",
            "10.0.0.0/8",
            "--cidr",
            "::1",
            "--cidr",
            "::ffff:192.0.2.7",
            "--json",
        ),
    ).json
    key = made.pop("key")
    assert re.fullmatch(rf"tgk_{made['key_id']}_[0-9A-Za-z]{{49}}", key)
    assert (made["app"], made["user"], made["name"], made["status"]) == (client_id, user, "laptop", "active")
    assert (made["workloads"], made["models"], made["cidrs"]) == (
        ["byoc", "llm"],
        ["m1"],
        ["10.0.0.0/8", "::1/128", "192.0.2.7/32"],
    )
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29) < left < timedelta(days=31)
    assert tollgate("keys", "list", "--app", client_id, "--json").json == [made]
    assert tollgate("keys", "revoke", made["key_id"], "--json").json == {**made, "status": "revoked"}
    listed = tollgate("keys", "list", "--app", client_id)
    assert "revoked" in listed.out
    assert key[21:] not in listed.out


def test_a_key_is_rotated_and_the_old_one_ends(tollgate: Tollgate, client_id: str) -> None:
    made = tollgate("keys", "create", "--app", client_id, "--name", "laptop", "--workload", "llm", "--json").json
    rotated = tollgate("keys", "rotate", made["key_id"], "--overlap", "2h", "--json").json
    assert re.fullmatch(rf"tgk_{rotated['key_id']}_[0-9A-Za-z]{{49}}", rotated["key"])
    assert rotated["replaces"] == made["key_id"]
    left = datetime.fromisoformat(rotated["replaced_key_ends_at"]) - datetime.now(UTC)
    assert timedelta(hours=1) < left <= timedelta(hours=2)
    old, new = tollgate("keys", "list", "--app", client_id, "--json").json
    assert (old["replaced_by"], old["expires_at"]) == (new["key_id"], rotated["replaced_key_ends_at"])
    assert (new["name"], new["workloads"], new["expires_at"]) == ("laptop", ["llm"], None)
    again = tollgate("keys", "rotate", made["key_id"])
    assert (again.code, again.out) == (1, "")
    assert f"the key to rotate now is {new['key_id']}" in again.err
    assert tollgate("keys", "rotate", new["key_id"], "--overlap", "0", "--json").code == 0
    statuses = [key["status"] for key in tollgate("keys", "list", "--app", client_id, "--json").json]
    assert statuses == ["active", "expired", "active"]


def test_a_new_key_stands_on_a_line_of_its_own(tollgate: Tollgate, client_id: str) -> None:
    out = tollgate("keys", "create", "--app", client_id).out
    assert re.search(r"^key: +tgk_[a-z2-7]{16}_[0-9A-Za-z]{49}$", out, re.MULTILINE)


def test_users_are_created_once(tollgate: Tollgate, client_id: str) -> None:
    command = ("users", "create", "--app", client_id, "--external-id", "ann 7", "--email", "ann@acme.example", "--json")
    made, again = tollgate(*command).json, tollgate(*command).json
    assert made.pop("created") is True
    assert again.pop("created") is False
    assert made == again
    assert re.fullmatch(r"usr_[a-z2-7]{16}", made["user_id"])
    assert tollgate("users", "list", "--app", client_id, "--json").json == [made]


def test_secrets_are_shown_once_and_are_nowhere_else(tollgate: Tollgate, client_id: str, tmp_path: Path) -> None:
    app = tollgate("apps", "create", "Other", "--plan", "free", "--json").json
    key = tollgate("keys", "create", "--app", client_id, "--json").json
    outputs = [
        tollgate(*command)
        for command in (
            ("apps", "list", "--json"),
            ("apps", "show", app["client_id"]),
            ("keys", "list", "--app", client_id),
            ("keys", "list", "--app", client_id, "--json"),
            ("keys", "revoke", key["key"]),
            ("keys", "revoke", key["key_id"]),
            ("apps", "show", app["client_secret"]),
            ("keys", "list", "--app", key["key"]),
        )
    ]
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*.aof"))
    assert key["key_id"].encode() in stored
    for secret in (key["key"][21:-6], app["client_secret"][4:-6]):
        assert secret.encode() not in stored
        assert not any(secret in done.out + done.err for done in outputs)


def test_names_are_shown_as_they_are(tollgate: Tollgate) -> None:
    tollgate("apps", "create", "[red]Acme[/red] 東京", "--plan", "free")
    assert "[red]Acme[/red] 東京" in tollgate("apps", "list").out


async def test_a_running_worker_obeys_the_command_line_at_once(tollgate: Tollgate, store: Store) -> None:
    async def command(*arguments: str) -> Any:
        done = await asyncio.to_thread(tollgate, *arguments, "--json", TOLLGATE_AUTH__KEY_PEPPER="pepper")
        return done.json

    client_id = (await command("apps", "create", "Acme", "--plan", "free"))["client_id"]
    made = await command("keys", "create", "--app", client_id)
    settings = Auth(key_pepper=SecretStr("pepper"))
    authentication = Authentication(settings, BUILT_IN_PLANS, store=store, redis=store.redis)
    await authentication.start()
    judge, key = authentication.credentials.judge, made["key"].encode()
    try:
        verdict = await judge(key)
        assert isinstance(verdict, Grant)
        assert (verdict.principal.app, verdict.principal.key) == (client_id, made["key_id"])

        async def denied(code: str) -> bool:
            verdict = await judge(key)
            return isinstance(verdict, Denial) and verdict.code == code

        await command("apps", "suspend", client_id)
        await eventually(lambda: denied("app_suspended"))
        await command("apps", "resume", client_id)
        await command("keys", "revoke", made["key_id"])
        await eventually(lambda: denied("key_revoked"))
    finally:
        await authentication.stop()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("apps", "show", "app_aaaaaaaaaaaaaaaa"), "there is no app app_aaaaaaaaaaaaaaaa"),
        (("apps", "suspend", "app_aaaaaaaaaaaaaaaa"), "there is no app app_aaaaaaaaaaaaaaaa"),
        (("keys", "create", "--app", "app_aaaaaaaaaaaaaaaa"), "there is no app app_aaaaaaaaaaaaaaaa"),
        (("keys", "list", "--app", "app_aaaaaaaaaaaaaaaa"), "there is no app app_aaaaaaaaaaaaaaaa"),
        (("users", "list", "--app", "app_aaaaaaaaaaaaaaaa"), "there is no app app_aaaaaaaaaaaaaaaa"),
        (("keys", "rotate", "aaaaaaaaaaaaaaaa"), "there is no key aaaaaaaaaaaaaaaa"),
        (("keys", "revoke", "aaaaaaaaaaaaaaaa"), "there is no key aaaaaaaaaaaaaaaa"),
    ],
)
def test_what_does_not_exist_is_one_line_and_exit_1(tollgate: Tollgate, command: tuple[str, ...], said: str) -> None:
    done = tollgate(*command)
    assert (done.code, done.out, done.err) == (1, "", f"tollgate: {said}\n")


def test_orchestrators_are_blocked_and_listed_again(tollgate: Tollgate) -> None:
    block = tollgate("orchestrators", "block", "https://Orch.example.com:8935/", "--json").json
    assert block == {"address": "https://orch.example.com:8935", "blocked": True, "changed": True}
    assert not tollgate("orchestrators", "block", "https://orch.example.com:8935", "--json").json["changed"]
    assert tollgate("orchestrators", "list", "--json").json == [{"address": "https://orch.example.com:8935"}]
    assert tollgate("orchestrators", "unblock", "https://orch.example.com:8935", "--json").json["changed"]
    assert tollgate("orchestrators", "list", "--json").json == []
    assert tollgate("orchestrators", "block", "orch.example.com").code == 2
