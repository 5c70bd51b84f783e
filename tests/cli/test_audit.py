"""Whatever an operator changes from the command line is in the audit log, with names and numbers, without secrets."""

from __future__ import annotations

import getpass
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from proxy.cli import main
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


READS = {
    *("serve", "demo", "check", "usage", "events", "export", "windows", "statements", "verify", "backup", "restore"),
    *(f"{records} list" for records in ("apps", "keys", "users", "developers", "members", "invites", "audit")),
    *("plans", "status", "attention list", "operators list", "apps show", "users show", "keys show", "credits show"),
    *("orchestrators list", "keys scan", "audit verify", "history status", "history export", "history upgrade"),
    *("explain", "webhooks list", "webhooks deliveries", "gateways list"),
}
"""Commands that change no record: those of the whole product, and those that only show."""
ACTS = {
    *("apps create", "apps change", "apps suspend", "apps resume", "users create"),
    *("keys create", "keys change", "keys rotate", "keys revoke", "credits grant", "credits debit", "issuer rotate"),
    *("developers add", "developers approve", "developers suspend", "developers resume"),
    *("orchestrators block", "orchestrators unblock", "gateways drain", "gateways resume"),
    *("members add", "members remove", "invites create", "invites revoke", "portal link"),
    *("apps plan", "apps secret", "users suspend", "users resume", "users deactivate"),
    *("attention resolve", "operators create", "operators revoke", "reload"),
    *("history adopt", "history prune", "history forget", "history subject", "history erase"),
    *(f"webhooks {act}" for act in ("create", "change", "remove", "rotate", "test", "replay")),
}


def _commands(group: typer.Typer) -> Iterator[tuple[str, str]]:
    """Yield the words of every command, and the source of its module."""
    for command in group.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.rstrip("_")
        yield name, inspect.getsource(inspect.getmodule(command.callback) or main)
    for each in group.registered_groups:
        assert each.typer_instance is not None
        for words, source in _commands(each.typer_instance):
            yield f"{each.name} {words}", source


def test_each_command_is_known_as_one_that_acts_or_one_that_reads() -> None:
    """Hazard: a new command that changes records and leaves no trace."""
    found = dict(_commands(main.app))
    assert found.keys() == READS | ACTS
    assert [words for words in ACTS if "operate(" not in found[words]] == []  # operations write their lines themselves


@pytest.mark.slow
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
    run("apps", "change", app, "--issuer", "https://id.example", "--audience", "tollgate")
    run("credits", "grant", "--app", app, f"{10**27}", "--reference", "inv-1", "--note", "paid")
    run("credits", "debit", "--app", app, f"{10**28}")
    run("credits", "debit", "--app", app, "5", "--reference", "inv-1")
    run("issuer", "rotate")
    run("orchestrators", "block", "https://orch.example.com:8935")
    run("orchestrators", "unblock", "https://orch.example.com:8935")
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
        ("app.change", "done", None),
        ("credits.add", "done", None),
        ("credits.debit", "refused", "insufficient_balance"),
        ("credits.debit", "refused", "reference_taken"),
        ("issuer.rotate", "done", None),
        ("orchestrator.block", "done", None),
        ("orchestrator.unblock", "done", None),
        ("history.adopt", "done", None),
    ]
    assert {(each["actor_kind"], each["actor"]) for each in found} == {("operator", getpass.getuser())}
    targets = [each["target"] for each in found]
    assert targets[:6] == [app, user["user_id"], key["key_id"], key["key_id"], key["key_id"], new["key_id"]]
    assert {each["app"] for each in found[:6]} == {app}
    assert found[3]["numbers"] == {"overlap_seconds": "7200"}
    assert found[3]["texts"] == {"new_key": new["key_id"]}
    assert found[10]["numbers"] == {"amount": str(10**27), "repeated": "0"}
    assert found[10]["texts"] == {"reference": "inv-1", "note": "paid"}
    for secret in secrets:
        assert secret[25:60] not in str(found)
    assert [each["action"] for each in lines(run, "--app", app, "--action", "app")] == [
        *("app.create", "app.suspend", "app.resume", "app.change")
    ]
    assert [each["action"] for each in lines(run, "--limit", "2")] == ["orchestrator.unblock", "history.adopt"]
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


@pytest.mark.ci
def test_a_subject_is_exported_and_erased(run: Tollgate, tmp_path: Path) -> None:
    app = run("apps", "create", "Acme", "--plan", "free", "--json").json["client_id"]
    user = run("users", "create", "--app", app, "--external-id", "ann", "--email", "ann@a.example", "--json").json
    run("keys", "create", "--app", app, "--user", user["user_id"], "--name", "ann's laptop")
    run("credits", "grant", "--app", app, "--user", user["user_id"], "7", "--reference", "ann-1", "--note", "for ann")
    copy = tmp_path / "ann.jsonl"
    assert run("history", "subject", "--app", app, "--user", "ann", "--output", str(copy)).code == 0
    kinds = [json.loads(line)["kind"] for line in copy.read_text().splitlines()]
    assert kinds == ["app", "user", "key", "credits", "event", "audit", "audit", "audit"]
    refused = run("history", "erase", "--app", app, "--user", "ann")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    done = run("history", "erase", "--app", app, "--user", "ann", "--yes", "--json").json
    assert done == {
        "app": app,
        "user": user["user_id"],
        "events": 1,
        "audit_lines": 4,
        "references": 1,
        "entries": done["entries"],
    }
    assert run("history", "erase", "--app", app, "--user", "ann", "--yes").code == 1
    assert run("history", "erase", "--app", app, "--user", user["user_id"], "--yes").code == 0
    assert run("history", "erase", "--app", app, "--yes").code == 0
    found = run("history", "subject", "--app", app).out
    assert "ann" not in found
    assert "Acme" not in found
    acts = [
        (each["action"], each["target_kind"], each["code"], each["numbers"].get("events")) for each in lines(run)[4:]
    ]
    assert acts == [
        ("history.export", "user", None, None),
        ("history.erase", "user", None, "1"),
        ("history.erase", "user", "unknown_id", None),
        ("history.erase", "user", None, "0"),
        ("history.erase", "app", None, "0"),
        ("history.export", "app", None, None),
    ]
    assert run("audit", "verify", "--json").json["findings"] == []
    assert run("verify", "--json").json["differences"] == []
    assert run("credits", "show", "--app", app, "--user", user["user_id"], "--json").json["granted"] == "7"
