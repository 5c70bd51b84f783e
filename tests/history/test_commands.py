"""`tollgate history upgrade`, `status` and `adopt`."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.history.schema import latest
from proxy.store.store import Store
from tests.history.postgres import Postgres
from tests.reporting.command import Command
from tests.reporting.ledger_fixture import RecordedUsage
from tests.store.servers import RedisServer

pytestmark = pytest.mark.ci


@pytest.mark.slow
async def test_postgresql_is_upgraded_by_its_operator(
    store: Store, redis_server: RedisServer, postgres: Postgres, tmp_path: Path
) -> None:
    url, tollgate = postgres.database(), Command(tmp_path, redis_server.url)
    usage = RecordedUsage(store, tmp_path)
    app = await usage.app()
    await usage.requests(app, 3)
    refused = await tollgate("events", "--app", app, TOLLGATE_HISTORY_URL=url)
    assert refused.code == 3
    needed = f"this program needs {latest()}: run `tollgate history upgrade`"
    assert refused.err == f"tollgate: the history is empty, {needed}\n"
    assert (await tollgate("history", "upgrade", "--json", TOLLGATE_HISTORY_URL=url)).json["before"] is None
    assert (await tollgate("history", "upgrade", "--json", TOLLGATE_HISTORY_URL=url)).json["before"] == latest()
    found = await tollgate("events", "--app", app, TOLLGATE_HISTORY_URL=url)
    assert len(found.out.splitlines()) == 3
    [stream] = (await tollgate("history", "status", "--json", TOLLGATE_HISTORY_URL=url)).json["streams"]
    assert (stream["in_redis"], stream["waiting"], stream["archived_to"]) == (3, 3, None)
    usage.ledger.close()
    await usage.history.close()


async def test_prune_says_what_it_would_do_and_what_it_did(
    store: Store, redis_server: RedisServer, tmp_path: Path
) -> None:
    usage, tollgate = RecordedUsage(store, tmp_path), Command(tmp_path, redis_server.url)
    await usage.app()
    assert (await tollgate("history", "prune")).code == 2
    assert (await tollgate("history", "prune", "--before", "2026-13")).code == 2
    for options in (("--before", "2026-01", "--dry-run"), ("--before", "2026-01")):
        found = (await tollgate("history", "prune", *options, "--json")).json
        assert {(each["events"], each["kept_from"]) for each in found} == {(0, None)}
    refused, line = (await tollgate("audit", "list", "--json")).json
    assert (refused["action"], refused["code"]) == ("history.prune", "invalid_parameter")
    assert (line["action"], line["numbers"]["events"], line["texts"]) == (
        "history.prune",
        "0",
        {"kept_from": "2026-01-01"},
    )
    usage.ledger.close()
    await usage.history.close()


async def test_a_lost_history_can_be_replaced(store: Store, redis_server: RedisServer, tmp_path: Path) -> None:
    await store.redis.set("tollgate:history", "a history that is lost")
    usage, tollgate = RecordedUsage(store, tmp_path), Command(tmp_path, redis_server.url)
    app = await usage.app()
    refused = await tollgate("usage", "--app", app)
    assert refused.code == 3
    assert "run `tollgate history adopt`" in refused.err
    assert (await tollgate("history", "adopt")).code == 0
    assert (await tollgate("usage", "--app", app)).code == 0
    usage.ledger.close()
    await usage.history.close()


async def test_a_wrong_address_is_named_without_its_password(redis_server: RedisServer, tmp_path: Path) -> None:
    tollgate = Command(tmp_path, redis_server.url)
    for url in ("mysql://someone:geheim@host/database", "geheim", "postgresql://someone:geheim@host"):
        for command in ("check", "verify", "serve"):
            done = await tollgate(command, TOLLGATE_HISTORY_URL=url)
            assert (done.code, done.out) == (2, "")
            assert done.err.startswith("tollgate: history_url: ")
            assert "geheim" not in done.err
