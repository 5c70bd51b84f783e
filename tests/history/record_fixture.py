"""Records a Redis as version 0.1 left it, before there was a history: `python -m tests.history.record_fixture FILE`.

It holds apps with users, keys, models with odd names, huge amounts, wallets, late events and a live session, over three
months, and beside them what the commands of that version printed about them. The file was recorded once, by the
program of that time; the tests load it into the present one.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.ledger.credit.prepaid import debit, grant
from proxy.store.store import Store
from tests.reporting.command import Command
from tests.reporting.ledger_fixture import RecordedUsage, utc
from tests.store.servers import RedisServer, binaries

HUGE = 10**27 + 7
PERIODS = ("2026-09", "2026-10", "2026-11", "2026-10-15")
PREPAID = Plan.model_validate({"billing": "credits", "prices": [{"unit": "requests", "amount": 1}]})


async def record(folder: Path) -> dict[str, Any]:
    """Make the data and return it with what the commands say of it."""
    server = RedisServer(binaries(folder)[0], folder / "redis").start()
    try:
        async with await Store.open(server.url, folder, deadline=30, control_timeout=30) as store:
            usage = RecordedUsage(store, folder)
            apps = [await _app(usage, number) for number in range(4)]
            usage.ledger.close()
            client: Any = store.redis
            return {
                "apps": apps,
                "keys": await dump(client),
                "printed": await printed(Command(folder, server.url), apps),
            }
    finally:
        server.kill()


async def _app(usage: RecordedUsage, number: int) -> str:
    app = await usage.app(f"app {number}")
    plan, name = (PREPAID, "prepaid") if number == 3 else (Plan(tier="premium"), "unlimited")
    if number == 3:
        await grant(usage.store, usage.keys, app, None, HUGE * 100, reference="first")
        await grant(usage.store, usage.keys, app, "u1", 10**9, reference="of a user")
        await debit(usage.store, usage.keys, app, None, 17, reference="taken out")
    for turn in range(60):
        await usage.request(
            app,
            user=f"u{turn % 3}" if turn % 3 else None,
            key=f"k{turn % 2}" if turn % 2 else None,
            plan=plan,
            plan_name=name,
            workload=Workload.LLM if turn % 4 == 0 else Workload.TEXT_TO_IMAGE,
            model=("m/one", "=a|b%", "modèle")[turn % 3],
            units={Unit.PIXELS: turn, Unit.INPUT_TOKENS: 2**40 + turn},
            amount=HUGE if turn == 7 and number < 3 else turn,
            at=utc(f"2026-{9 + (turn * 7) % 3:02d}-{1 + turn % 28:02d}T{turn % 24:02d}:00:00"),
            drain=False,
        )
    await usage.ledger.drain()
    return app


async def dump(client: Any) -> dict[str, Any]:
    """Return every key of Redis with its type, content and life."""
    found = {}
    for key in sorted([each async for each in client.scan_iter()]):
        kind = (await client.type(key)).decode()
        found[key.decode()] = {
            "kind": kind,
            "content": await _content(client, key, kind),
            "ttl": await client.pttl(key),
        }
    return found


async def _content(client: Any, key: bytes, kind: str) -> Any:
    if kind == "stream":
        return [(entry.decode(), _text(fields)) for entry, fields in await client.xrange(key)]
    if kind == "hash":
        return _text(await client.hgetall(key))
    if kind == "zset":
        return [(member.decode(), score) for member, score in await client.zrange(key, 0, -1, withscores=True)]
    if kind == "set":
        return sorted(member.decode() for member in await client.smembers(key))
    return (await client.get(key)).decode()


def _text(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in fields.items()}


async def printed(tollgate: Command, apps: list[str]) -> dict[str, Any]:
    """Return what the reading commands print, by their arguments."""
    commands = [["verify", "--json"]]
    for app in apps:
        commands.append(["events", "--app", app])
        commands += [["statements", "--app", app, "--period", period, "--json"] for period in PERIODS]
        usage = ["usage", "--app", app, "--from", "2026-09-01", "--to", "2026-11-30", "--json"]
        commands += [usage, [*usage, *(f"--group-by={each}" for each in ("user", "key", "workload", "model", "day"))]]
    return {" ".join(each): (await tollgate(*each)).out for each in commands}


def main() -> None:
    """Record into the file that the command line names."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        found = asyncio.run(record(Path(folder)))
    Path(sys.argv[1]).write_bytes(gzip.compress(json.dumps(found, separators=(",", ":")).encode(), mtime=0))


if __name__ == "__main__":
    main()
