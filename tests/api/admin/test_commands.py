"""Each command says the same, on the store or by the admin API of the running server."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from middlewares.auth.records import Role
from proxy.cli import main
from proxy.cli.main import MACHINE_ONLY
from tests.api.admin.attention import needs_attention
from tests.api.admin.conftest import Operated
from tests.api.waiting_webhook import paused_webhook, waiting_for
from tests.cli.conftest import Done, call
from tests.support.builder import BuilderApp, bearer

pytestmark = pytest.mark.asyncio(loop_scope="package")

NOWHERE = "http://127.0.0.1:1"
WALLET, ORCHESTRATOR = f"0x{'a' * 40}", "https://orch.example:8935"
STORE_ONLY: dict[str, tuple[str, ...]] = {
    "history upgrade": (),
    "history export": ("--format", "csv", "--from", "2026-11-01", "--to", "2026-11-02"),
}
"""Commands that work on the store alone, with arguments."""
OFFLINE = {"keys scan"}
"""Commands that need neither."""
RANDOM = re.compile(
    r"tg[ikls]_\w+|whsec_[\w+/=]+|tgo_\w+|(?:app|usr)_[a-z2-7]{16}|\b[a-z2-7]{16}\b|\b\d{4}-\d\d-\d\dT[\d:.+]+Z?|"
    r"(?<=last4)\W+\w{4}\b|(?<=kid)\W+[\w-]+"
)
"""What is new each time: ids, secrets, times."""


def tree(name: str, command: object) -> Iterator[str]:
    """Yield the names of all commands."""
    if isinstance(command, TyperGroup):
        for below, each in command.commands.items():
            yield from tree(f"{name} {below}".strip(), each)
    elif isinstance(command, TyperCommand):
        yield name


class BothWays:
    """Runs commands on the store and by the admin API."""

    def __init__(self, operated: Operated) -> None:
        environment = operated.deployment.environment
        self._store = {name: value for name, value in environment.items() if name.startswith("TOLLGATE_")}
        self._remote = {
            "TOLLGATE_URL": operated.deployment.private,
            "TOLLGATE_OPERATOR_KEY": operated.keys[Role.ADMIN],
            "TOLLGATE_REDIS_URL": "redis://127.0.0.1:1",  # what it must not use
        }
        self.seen: set[str] = set()

    async def direct(self, *arguments: str) -> Done:
        return await asyncio.to_thread(call, *arguments, **self._store)

    async def remote(self, *arguments: str) -> Done:
        return await asyncio.to_thread(call, *arguments, **self._remote)

    async def __call__(self, *arguments: str, masked: bool = False, code: int = 0) -> Done:
        """Run a command both ways; the outputs must be equal, where `masked` but for what is new each time."""
        names = [each for each in arguments[:2] if re.fullmatch("[a-z-]+", each) and not each.startswith("-")]
        self.seen.add(" ".join(names))
        first, second = await self.direct(*arguments), await self.remote(*arguments)
        assert (first.code, second.code) == (code, code), f"{arguments}: {first} {second}"
        assert _masked(first, masked) == _masked(second, masked), arguments
        return first


def _masked(done: Done, masked: bool) -> tuple[str, str]:
    return (RANDOM.sub("*", done.out), RANDOM.sub("*", done.err)) if masked else (done.out, done.err)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_command_says_the_same_both_ways(operated: Operated, app: BuilderApp, tmp_path: Path) -> None:
    run, owner = BothWays(operated), ("--app", app.client_id)
    webhook = (await paused_webhook(app))["webhook_id"]
    key = await operated.deployment.key(app.client_id)
    event = await needs_attention(operated.deployment, app.client_id, amount=1_000)
    job = {"model_id": "stabilityai/sdxl-turbo", "prompt": "x", "width": 64, "height": 64}
    before = len(await operated.deployment.events(app.client_id))
    assert (await app.http.post("/text-to-image", json=job, headers=bearer(key))).status_code == 200
    await operated.deployment.settled(before + 1, app.client_id)

    for shape in ((), ("--json",)):
        made = await run("apps", "create", "Acme", "--plan", "free", *shape, masked=True)
        await run("apps", "list", *shape)
        await run("apps", "show", app.client_id, *shape)
        await run("apps", "plan", app.client_id, "--plan", "unlimited", *shape)
        await run("apps", "suspend", app.client_id, *shape)
        await run("apps", "resume", app.client_id, *shape)
        await run("apps", "secret", app.client_id, *shape, masked=True)
        await run("keys", "create", *owner, "--name", "k", "--expires-in", "30d", *shape, masked=True)
        await run("keys", "list", *owner, *shape)
        user = f"ann {shape}"
        assert (await run.direct("users", "create", *owner, "--external-id", user)).code == 0
        await run("users", "create", *owner, "--external-id", user, "--email", "a@b.example", *shape)
        await run("users", "list", *owner, *shape)
        assert (await run.direct("credits", "grant", *owner, "5", "--reference", "first")).code == 0
        await run("credits", "grant", *owner, "5", "--reference", "first", *shape)
        await run("credits", "show", *owner, *shape)
        await run("credits", "debit", *owner, "6", "--reference", "too much", *shape, code=1)
        await run("usage", *owner, "--group-by", "model", "--group-by", "key", *shape)
        await run("statements", *owner, "--period", event.time_text[:7], *shape)
        await run("verify", *owner, *shape)
        await run("plans", *shape)
        while any(each["waiting"] for each in (await run.direct("history", "status", "--json")).json["streams"]):
            pass
        await run("history", "status", *shape)
        await run("history", "forget", "nobody", *shape, code=1)
        await run("history", "adopt", *shape)
        await run("history", "prune", "--before", "2020-01", *shape)
        await run("history", "prune", "--before", "2020-01", "--dry-run", *shape)
        await run("attention", "list", *owner, "--all", *shape)
        await run("operators", "list", *shape)
        await run("operators", "create", "Ann", "--role", "viewer", *shape, masked=True)
        await run("issuer", "rotate", *shape, masked=True)
    await run("usage", *owner, "--format", "csv")
    await run("statements", *owner, "--period", event.time_text[:10], "--format", "csv")
    for shape in ((), ("--json",)):
        await run("explain", event.id, *shape)
    await run("explain", "0", code=1)
    events = await run("events", *owner)
    assert len(events.out.splitlines()) == before + 1 + 1  # and the credits
    await run("events", *owner, "--outcome", "complete", "--limit", "1")

    listed = (await run.direct("users", "list", *owner, "--json")).json
    for act in ("show", "suspend", "resume", "deactivate"):
        await run("users", act, listed[0]["user_id"], *owner, "--json")
    text = (await run.direct("keys", "create", *owner, "--json")).json
    await run("keys", "revoke", text["key_id"], "--json")
    await run("keys", "rotate", text["key_id"], code=1)
    operator = (await run.direct("operators", "create", "Bob", "--role", "support", "--json")).json
    await run("operators", "revoke", operator["operator_id"], "--json")
    decided = await run.direct("attention", "resolve", event.id, *owner, "--decision", "refund", "--json")
    assert (
        decided.json | {"repeated": True}
        == (await run("attention", "resolve", event.id, *owner, "--decision", "refund", "--json")).json
    )
    await run("attention", "resolve", event.id, *owner, "--decision", "charge", code=1)
    await run("apps", "show", f"app_{'a' * 16}", code=1)
    assert "client_secret" in made.out

    await _people(run, app.client_id)
    await _changes(run, app.client_id)
    await _webhooks(run, app.client_id, webhook, await waiting_for(operated.deployment, webhook))
    await _subjects(run, app.client_id, tmp_path)
    await _audit_log(run, app.client_id)
    for each in ("status", "reload"):  # what a store alone does not know
        assert (await run.remote(each)).code == 0
        run.seen.add(each)
    assert "server" in (await run.direct("reload")).err
    every = set(tree("", typer.main.get_command(main.app)))
    assert run.seen | MACHINE_ONLY | STORE_ONLY.keys() | OFFLINE == every


async def _people(run: BothWays, app: str) -> None:
    made = (await run.direct("developers", "add", WALLET, "--email", "ann@a.example", "--json")).json
    developer = made["developer_id"]
    member = ("--app", app, "--developer", developer)
    invite = (await run.direct("invites", "create", "--app", app, "--role", "viewer", "--json")).json["invite_id"]
    await run.direct("orchestrators", "block", ORCHESTRATOR)
    operator = (await run.direct("operators", "list", "--json")).json[0]["operator_id"]
    for shape in ((), ("--json",)):
        await run("developers", "add", WALLET, *shape)
        for act in ("suspend", "resume", "approve"):
            await run("developers", act, developer, *shape)
        await run("developers", "list", *shape)
        await run("portal", "link", "--developer", developer, *shape, masked=True)
        await run("portal", "link", "--operator", operator, *shape, masked=True)
        await run("members", "add", *member, "--role", "billing", *shape)
        await run("members", "list", "--app", app, *shape)
        await run("invites", "list", *shape)
        await run("invites", "create", "--app", app, "--role", "owner", "--expires-in", "2h", *shape, masked=True)
        await run("orchestrators", "block", ORCHESTRATOR, *shape)
        await run("orchestrators", "list", *shape)
        [gateway] = [each["gateway"] for each in (await run("gateways", "list", "--json")).json]
        assert (await run.direct("gateways", "drain", gateway, "--json")).json["changed"] is True
        await run("gateways", "drain", gateway, *shape)
        await run("gateways", "list", *shape)
        await run("gateways", "drain", "http://192.0.2.1:1", *shape, code=1)
        assert (await run.remote("gateways", "resume", gateway, "--json")).json["changed"] is True
        await run("gateways", "resume", gateway, *shape)
    assert (await run.remote("members", "remove", *member, "--json")).json["removed"] is True
    await run("members", "remove", *member, code=1)
    assert (await run.remote("invites", "revoke", invite, "--json")).json["revoked"] is True
    await run("invites", "revoke", invite, code=1)
    await run.direct("orchestrators", "unblock", ORCHESTRATOR)
    await run("orchestrators", "unblock", ORCHESTRATOR, "--json")


async def _changes(run: BothWays, app: str) -> None:
    issuer = ("--issuer", "https://login.example", "--audience", "tollgate", "--single-use")
    key = (await run.direct("keys", "create", "--app", app, "--spend-total", "9", "--json")).json["key_id"]
    change = ("--name", "kiosk", "--concurrent", "2", "--spend-total", "none", "--origin", "https://a.example")
    for shape in ((), ("--json",)):
        await run("apps", "change", app, *issuer, *shape)
        await run("keys", "change", key, *change, *shape)
        await run("keys", "change", key, "--raise", "concurrent=5", "--raise-until", "2999-01-01", *shape)
        await run("keys", "show", key, *shape)
    await run("keys", "change", key, "--end-raise", "--any-origin", "--json")
    await run("keys", "change", key, "--raise", "spend-total=5", "--raise-for", "1h", code=2)
    await run("apps", "change", app, "--no-issuer", "--json")


async def _webhooks(run: BothWays, app: str, webhook: str, delivery: str) -> None:
    for shape in ((), ("--json",)):
        await run("webhooks", "create", "https://hooks.invalid/", "--app", app, *shape, masked=True)
        await run("webhooks", "list", "--app", app, *shape)
        await run("webhooks", "change", webhook, "--balance-below", "5", *shape)
        await run("webhooks", "rotate", webhook, "--overlap", "1h", *shape, masked=True)
        await run("webhooks", "deliveries", webhook, *shape)
        await run("webhooks", "replay", webhook, delivery, *shape, masked=True)
        await run("webhooks", "test", webhook, *shape, code=1)
    assert (await run.remote("webhooks", "remove", webhook, "--json")).json["webhook_id"] == webhook
    await run("webhooks", "remove", webhook, code=1)


async def _subjects(run: BothWays, app: str, folder: Path) -> None:
    options = ("history", "subject", "--app", app, "--output")
    copies = []
    for way, file in ((run.direct, folder / "direct"), (run.remote, folder / "remote")):
        assert (await way(*options, str(file))) == Done(0, "", "")
        lines = [json.loads(line) | {"number": None} for line in file.read_text().splitlines()]
        copies.append([each for each in lines if each.get("action") != "history.export"])
    assert copies[0] == copies[1]
    assert {each["kind"] for each in copies[0]} == {"app", "user", "key", "webhook", "credits", "event", "audit"}
    await run("history", "subject", "--app", app, "--user", "nobody", code=1)

    erased = []
    for way in (run.direct, run.remote):
        user = (await run.direct("users", "create", "--app", app, "--external-id", "eve", "--json")).json["user_id"]
        assert (await run.direct("credits", "grant", "--app", app, "--user", user, "3", "--note", "for eve")).code == 0
        done = (await way("history", "erase", "--app", app, "--user", "eve", "--yes", "--json")).json
        assert done.pop("user") == user
        erased.append(done)
    assert erased[0] == erased[1]
    assert erased[0]["events"] == 1
    await run("history", "erase", "--app", app, "--user", "eve", "--yes", code=1)


async def _audit_log(run: BothWays, app: str) -> None:
    """Compare audit lines once all are chained, so that each has its number."""
    while (await run.direct("audit", "verify", "--json")).json["waiting"]:
        pass
    for shape in ((), ("--json",)):
        await run("audit", "verify", *shape)
        await run("audit", "list", *shape)
    [line] = (await run("audit", "list", "--app", app, "--action", "app.change", "--limit", "1", "--json")).json
    moment = ("--since", line["time"], "--actor", line["actor"])
    assert line in (await run("audit", "list", *moment, "--limit", "5000", "--json")).json
    assert line not in (await run("audit", "list", "--until", line["time"], "--limit", "5000", "--json")).json
    await run("audit", "verify", "--head", f"9999999:{'a' * 64}", code=1)


@pytest.mark.parametrize("command", [*sorted(MACHINE_ONLY), *sorted(STORE_ONLY)])
async def test_commands_of_the_machine_say_so_in_one_line(operated: Operated, command: str) -> None:
    arguments: dict[str, tuple[str, ...]] = STORE_ONLY | {
        "backup": ("x",),
        "restore": ("x",),
        "export": ("--to", "stdout"),
        "windows": ("--to", "http://x.example", "--provider", "p"),
    }
    done = await asyncio.to_thread(
        call, "--url", NOWHERE, *command.split(), *arguments.get(command, ()), TOLLGATE_OPERATOR_KEY="x"
    )
    assert (done.code, done.out) == (2, "")
    assert done.err == ("tollgate: this command works on the machine alone: leave out --url (and TOLLGATE_URL)\n")


async def test_a_server_that_is_not_there_or_refuses_is_one_line(operated: Operated) -> None:
    def run(url: str, key: str) -> Any:
        return asyncio.to_thread(call, "--url", url, "apps", "list", TOLLGATE_OPERATOR_KEY=key)

    key = operated.keys[Role.VIEWER]
    for url, sent, code, said in (
        (NOWHERE, key, 3, "the admin API at http://127.0.0.1:1/ cannot be reached"),
        (operated.deployment.private, "", 2, "--url needs an operator key"),
        (operated.deployment.private, "tgo_wrong", 1, "That is no operator key"),
        ("ftp://x.example", key, 2, "--url must be an origin"),
        (f"{operated.deployment.private}/metrics", key, 2, "--url must be an origin"),
        (operated.deployment.gateway.url, key, 3, "is no admin API of this version"),
    ):
        done = await run(url, sent)
        assert (done.code, done.out) == (code, ""), done
        assert said in done.err
        assert done.err.count("\n") == 1
        assert key not in done.err
