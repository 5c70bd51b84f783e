"""Developers, members and invitations from the command line, and the audit lines that they leave."""

from __future__ import annotations

import re

import pytest

from tests.cli.conftest import Tollgate
from tests.support.wallet import Wallet

NOBODY = "dev_" + "a" * 16
NO_APP = "app_" + "a" * 16


def test_a_developer_is_added_once_listed_suspended_and_resumed(tollgate: Tollgate) -> None:
    wallet = Wallet()
    made = tollgate("developers", "add", wallet.address, "--email", "ann@x.example", "--json").json
    assert re.fullmatch("dev_[a-z2-7]{16}", made["developer_id"])
    assert (made["wallet"], made["status"], made["created"]) == (wallet.address.lower(), "active", True)
    again = tollgate("developers", "add", wallet.address.lower(), "--json").json
    assert again == made | {"created": False}
    for command, status in (("suspend", "suspended"), ("resume", "active"), ("approve", "active")):
        assert tollgate("developers", command, made["developer_id"], "--json").json["status"] == status
    [listed] = tollgate("developers", "list", "--json").json
    assert (listed["developer_id"], listed["email"]) == (made["developer_id"], "ann@x.example")


def test_a_developer_needs_no_wallet(tollgate: Tollgate) -> None:
    made = tollgate("developers", "add", "--email", "bob@x.example", "--json").json
    assert (made["wallet"], made["email"], made["created"]) == (None, "bob@x.example", True)
    assert tollgate("developers", "add", "--email", "BOB@x.example", "--json").json == made | {"created": False}
    assert tollgate("portal", "link", "--developer", made["developer_id"], "--json").json["url"]
    for arguments in ((), ("--subject", "s", Wallet().address), ("--subject", "s", Wallet().address, "--email", "a@b")):
        refused = tollgate("developers", "add", *arguments)
        assert (refused.code, "give one of WALLET and --subject" in refused.err) == (2, True)
    refused = tollgate("developers", "add", "--subject", "s")
    assert (refused.code, "portal.oidc.issuer is not set" in refused.err) == (2, True)


def test_members_are_added_changed_and_removed(tollgate: Tollgate, client_id: str) -> None:
    developer = tollgate("developers", "add", Wallet().address, "--json").json["developer_id"]
    member = ("--app", client_id, "--developer", developer)
    for role in ("viewer", "owner"):
        assert tollgate("members", "add", *member, "--role", role, "--json").json["role"] == role
    [listed] = tollgate("members", "list", "--app", client_id, "--json").json
    assert (listed["developer_id"], listed["role"]) == (developer, "owner")
    assert tollgate("members", "remove", *member, "--json").json["removed"]
    assert tollgate("members", "list", "--app", client_id, "--json").json == []
    gone = tollgate("members", "remove", *member)
    assert (gone.code, "is no member" in gone.err) == (1, True)
    lines = tollgate("audit", "list", "--json").json
    found = [(line["action"], line["result"]) for line in lines if line["action"].startswith("member")]
    assert found == [
        ("member.add", "done"),
        ("member.add", "done"),
        ("member.remove", "done"),
        ("member.remove", "refused"),
    ]


def test_an_invitation_is_shown_once_listed_and_revoked(tollgate: Tollgate, client_id: str) -> None:
    create = ("invites", "create", "--app", client_id, "--role", "billing", "--json")
    closed = tollgate(*create)
    assert (closed.code, "sign_up.policy is closed" in closed.err) == (2, True)
    made = tollgate(*create, TOLLGATE_SIGN_UP__POLICY="invite").json
    code = made.pop("code")
    assert re.fullmatch(r"tgi_[a-z2-7]{16}_[0-9A-Za-z]{49}", code)
    listed = tollgate("invites", "list", "--json")
    assert listed.json == [made]
    assert code[21:] not in listed.out
    assert tollgate("invites", "revoke", made["invite_id"], "--json").json["revoked"]
    assert tollgate("invites", "list", "--json").json == []
    assert tollgate("invites", "revoke", made["invite_id"]).code == 1
    pasted = tollgate("invites", "revoke", code)
    assert (pasted.code, code[21:] in pasted.err) == (2, False)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("developers", "add", "0x12"), 2, "40 hexadecimal digits"),
        (("developers", "add", "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed"), 2, "checksum (EIP-55)"),
        (("developers", "add", "0x" + "ab" * 20, "--email", "x"), 2, "--email"),
        (("developers", "suspend", "usr_" + "a" * 16), 2, "developer id"),
        (("developers", "suspend", NOBODY), 1, "there is no developer"),
        (
            ("members", "add", "--app", NO_APP, "--developer", NOBODY, "--role", "owner"),
            1,
            "there is no app",
        ),
        (("members", "list", "--app", NO_APP), 1, "there is no app"),
    ],
)
def test_what_cannot_be_meant_is_one_line(tollgate: Tollgate, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = tollgate(*arguments)
    assert done.code == code
    assert said in done.err
    assert len(done.err.splitlines()) == 1
