"""Data that version 0.1 left in Redis reads the same afterwards: before it is archived, half-way, and after that."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from middlewares.ledger.redis_keys import RedisKeys
from proxy.history.store import History
from proxy.store.store import Store
from tests.history.fakes import Archive
from tests.reporting.command import Command
from tests.store.servers import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

RECORDED: dict[str, Any] = json.loads(
    gzip.decompress((Path(__file__).parent / "fixtures/version_0_1.json.gz").read_bytes())
)

ADDED = (
    ',"reserved_amount":""',
    ',"lot":""',
    ',"held":"0"',
    ',"failed_attempts":""',
    ',"fallback":""',
    ',"requested_model":""',
)
"""What an event of today says, and those of that version could not."""
MOVED = ("expired", "returned")
"""How credits move today, and did not in that version."""


async def load(client: Any) -> None:
    """Write what was recorded into an empty Redis."""
    for key, each in RECORDED["keys"].items():
        kind, content = each["kind"], each["content"]
        if kind == "stream":
            for entry, fields in content:
                await client.xadd(key, fields, id=entry)
        elif kind == "hash":
            await client.hset(key, mapping=content)
        elif kind == "zset":
            await client.zadd(key, dict(content))
        elif kind == "set":
            await client.sadd(key, *content)
        else:
            await client.set(key, content)
        if each["ttl"] > 0:
            await client.pexpire(key, each["ttl"])


async def check(tollgate: Command, history_url: str) -> None:
    """Every command prints what it printed then; archived events come by time, so that their order may be another."""
    apps = RECORDED["apps"][0], RECORDED["apps"][3]  # the second has wallets; a command takes half a second
    for line, before in RECORDED["printed"].items():
        if not line.startswith("verify") and not any(app in line for app in apps):
            continue
        done = await tollgate(*line.split(), TOLLGATE_HISTORY_URL=history_url)
        assert done.code == 0, done.err
        if line.startswith("events"):
            lines = "".join(re.split("|".join(ADDED), done.out)).splitlines()
            assert sorted(lines) == sorted(before.splitlines())
        elif line.startswith("verify"):
            found, expected = json.loads(done.out), json.loads(before)
            assert {**found, "totals": 0} == {**expected, "totals": 0, "pruned": 0, "kept_from": ""}
        else:
            found = json.loads(done.out)
            for wallet in found.get("credits", ()):
                assert [wallet.pop(name) for name in MOVED] == ["0", "0"]
            assert found == json.loads(before), line


async def test_it_reads_the_same(
    store: Store, redis_server: RedisServer, history: History, history_url: str, tmp_path: Path
) -> None:
    await load(store.redis)
    archive = Archive(store.redis, RedisKeys(16, cluster=False), history)
    tollgate = Command(tmp_path, redis_server.url)
    await check(tollgate, history_url)
    assert await archive.advance()
    assert len(await archive.in_history()) == 243
    assert not [key async for key in store.redis.scan_iter(match="*}:usage:*")]
    assert archive.reports.lines == []
    await check(tollgate, history_url)
