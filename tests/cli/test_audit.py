"""Whatever an operator changes from the command line is in the audit log, with names and numbers, without secrets."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Done, Tollgate


@pytest.fixture
def run(tollgate: Tollgate, tmp_path: Path) -> Tollgate:
    """Return `tollgate` with a data directory of this test."""

    def with_data(*arguments: str, **settings: str) -> Done:
        return tollgate(*arguments, **{"TOLLGATE_DATA_DIR": str(tmp_path / "data"), **settings})

    return with_data


def lines(run: Tollgate, *options: str) -> list[dict[str, Any]]:
    """Return the audit lines, oldest first."""
    found: list[dict[str, Any]] = run("audit", "list", *options, "--json").json
    return found


def test_every_act_is_in_the_log(run: Tollgate, tmp_path: Path) -> None:
    made = run("apps", "create", "Acme", "--plan", "free", "--json").json
    app, secrets = made["client_id"], [made["client_secret"]]
    user = run("users", "create", "--app", app, "--external-id", "ann", "--email", "ann@a.example", "--json").json
    key = run("keys", "create", "--app", app, "--name", "laptop", "--json").json
    new = run("keys", "rotate", key["key_id"], "--overlap", "2h", "--json").json
    secrets += [key["key"], new["key"]]
    run("keys", "rotate", key["key_id"])
    run("keys", "revoke", new["key_id"])
    run("keys", "revoke", "a" * 16)
    run("apps", "suspend", app)
    run("apps", "resume", app)
    run("credits", "grant", "--app", app, f"{10**27}", "--reference", "inv-1", "--note", "paid")
    run("credits", "debit", "--app", app, f"{10**28}")
    run("credits", "debit", "--app", app, "5", "--reference", "inv-1")
    run("issuer", "rotate")
    run("history", "adopt")
    found = lines(run)
    assert [(each["action"], each["result"], each["code"]) for each in found] == [
        ("app.create", "done", None),
        ("user.create", "done", None),
        ("key.create", "done", None),
        ("key.rotate", "done", None),
        ("key.rotate", "refused", "key_ended"),
        ("key.revoke", "done", None),
        ("key.revoke", "refused", "unknown_id"),
        ("app.suspend", "done", None),
        ("app.resume", "done", None),
        ("credits.add", "done", None),
        ("credits.debit", "refused", "insufficient_balance"),
        ("credits.debit", "refused", "reference_taken"),
        ("issuer.rotate", "done", None),
        ("history.adopt", "done", None),
    ]
    assert {(each["actor_kind"], each["actor"]) for each in found} == {("operator", getpass.getuser())}
    targets = [each["target"] for each in found]
    assert targets[:6] == [app, user["user_id"], key["key_id"], key["key_id"], key["key_id"], new["key_id"]]
    assert {each["app"] for each in found[:6]} == {app}
    assert found[3]["numbers"] == {"overlap_seconds": "7200"}
    assert found[3]["texts"] == {"new_key": new["key_id"]}
    assert found[9]["numbers"] == {"amount": str(10**27), "repeated": "0"}
    assert found[9]["texts"] == {"reference": "inv-1", "note": "paid"}
    for secret in secrets:
        assert secret[25:60] not in str(found)
    assert [each["action"] for each in lines(run, "--app", app, "--action", "app")] == [
        *("app.create", "app.suspend", "app.resume")
    ]
    assert [each["action"] for each in lines(run, "--limit", "2")] == ["issuer.rotate", "history.adopt"]
    assert lines(run, "--since", "2999-01-01") == []
    assert "credits.add" in run("audit", "list").out


def test_the_chain_is_verified(run: Tollgate) -> None:
    run("apps", "create", "Acme", "--plan", "free", "--json")
    verified = run("audit", "verify", "--json").json
    assert (verified["lines"], verified["waiting"], verified["findings"]) == (0, 1, [])
    assert run("audit", "verify", "--head", verified["head"]).code == 0
    missing = run("audit", "verify", "--head", f"4:{'a' * 64}")
    assert missing.code == 1
    assert "line 4, whose hash was noted, is missing" in missing.err
    assert run("audit", "verify", "--head", "4").code == 2
    assert run("audit", "list", "--since", "yesterday").code == 2
