"""Each command says the same, on the store or by the admin API of the running server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from middlewares.auth.records import Role
from proxy.cli import main
from proxy.cli.main import MACHINE_ONLY
from tests.api.admin.attention import needs_attention
from tests.api.admin.conftest import Operated
from tests.cli.conftest import Done, call
from tests.support.builder import BuilderApp, bearer

pytestmark = pytest.mark.asyncio(loop_scope="package")

NOWHERE = "http://127.0.0.1:1"
APP, ID, WALLET = f"app_{'a' * 16}", "a" * 16, f"0x{'a' * 40}"
STORE_ONLY: dict[str, tuple[str, ...]] = {
    "history upgrade": (),
    "history prune": ("--before", "2020-01"),
    "history subject": ("--app", APP, "--user", "u"),
    "history erase": ("--app", APP, "--user", "u", "--yes"),
    "history export": ("--format", "csv", "--from", "2026-11-01", "--to", "2026-11-02"),
    "audit list": (),
    "audit verify": (),
    "apps change": (APP, "--no-issuer"),
    "keys change": (ID, "--name", "x"),
    "keys show": (ID,),
    "developers add": (WALLET,),
    "developers list": (),
    "developers approve": (f"dev_{ID}",),
    "developers suspend": (f"dev_{ID}",),
    "developers resume": (f"dev_{ID}",),
    "members add": ("--app", APP, "--developer", f"dev_{ID}", "--role", "viewer"),
    "members list": ("--app", APP),
    "members remove": ("--app", APP, "--developer", f"dev_{ID}"),
    "invites create": ("--app", APP, "--role", "viewer"),
    "invites list": (),
    "invites revoke": (ID,),
    "orchestrators block": ("https://orch.example:8935",),
    "orchestrators unblock": ("https://orch.example:8935",),
    "orchestrators list": (),
}
"""Commands that work on the store alone, with arguments."""
OFFLINE = {"keys scan"}
"""Commands that need neither."""
RANDOM = re.compile(
    r"tg[ks]_\w+|tgo_\w+|(?:app|usr)_[a-z2-7]{16}|\b[a-z2-7]{16}\b|\b\d{4}-\d\d-\d\dT[\d:.+]+Z?|"
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


async def test_every_command_says_the_same_both_ways(operated: Operated, app: BuilderApp) -> None:
    run, owner = BothWays(operated), ("--app", app.client_id)
    key = await operated.deployment.key(app.client_id)
    event = await needs_attention(operated.deployment, app.client_id, amount=1_000)
    job = {"model_id": "stabilityai/sdxl-turbo", "prompt": "x", "width": 64, "height": 64}
    before = len(await operated.deployment.events(app.client_id))
    assert (await app.http.post("/text-to-image", json=job, headers=bearer(key))).status_code == 200
    await operated.deployment.settled(before + 1, app.client_id)

    for json in ((), ("--json",)):
        made = await run("apps", "create", "Acme", "--plan", "free", *json, masked=True)
        await run("apps", "list", *json)
        await run("apps", "show", app.client_id, *json)
        await run("apps", "plan", app.client_id, "--plan", "unlimited", *json)
        await run("apps", "suspend", app.client_id, *json)
        await run("apps", "resume", app.client_id, *json)
        await run("apps", "secret", app.client_id, *json, masked=True)
        await run("keys", "create", *owner, "--name", "k", "--expires-in", "30d", *json, masked=True)
        await run("keys", "list", *owner, *json)
        user = f"ann {json}"
        assert (await run.direct("users", "create", *owner, "--external-id", user)).code == 0
        await run("users", "create", *owner, "--external-id", user, "--email", "a@b.example", *json)
        await run("users", "list", *owner, *json)
        assert (await run.direct("credits", "grant", *owner, "5", "--reference", "first")).code == 0
        await run("credits", "grant", *owner, "5", "--reference", "first", *json)
        await run("credits", "show", *owner, *json)
        await run("credits", "debit", *owner, "6", "--reference", "too much", *json, code=1)
        await run("usage", *owner, "--group-by", "model", "--group-by", "key", *json)
        await run("statements", *owner, "--period", event.time_text[:7], *json)
        await run("verify", *owner, *json)
        await run("plans", *json)
        await run("history", "status", *json)
        await run("history", "adopt", *json)
        await run("attention", "list", *owner, "--all", *json)
        await run("operators", "list", *json)
        await run("operators", "create", "Ann", "--role", "viewer", *json, masked=True)
        await run("issuer", "rotate", *json, masked=True)
    await run("usage", *owner, "--format", "csv")
    await run("statements", *owner, "--period", event.time_text[:10], "--format", "csv")
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

    for each in ("status", "reload"):  # what a store alone does not know
        assert (await run.remote(each)).code == 0
        run.seen.add(each)
    assert "server" in (await run.direct("reload")).err
    every = set(tree("", typer.main.get_command(main.app)))
    assert run.seen | MACHINE_ONLY | STORE_ONLY.keys() | OFFLINE == every


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
