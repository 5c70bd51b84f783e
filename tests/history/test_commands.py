"""`tollgate history upgrade`, `status` and `adopt`."""

from __future__ import annotations

from pathlib import Path

from proxy.store.store import Store
from tests.history.postgres import Postgres
from tests.reporting.command import Command
from tests.reporting.ledger_fixture import RecordedUsage
from tests.store.servers import RedisServer


async def test_postgresql_is_upgraded_by_its_operator(
    store: Store, redis_server: RedisServer, postgres: Postgres, tmp_path: Path
) -> None:
    url, tollgate = postgres.database(), Command(tmp_path, redis_server.url)
    usage = RecordedUsage(store, tmp_path)
    app = await usage.app()
    await usage.requests(app, 3)
    refused = await tollgate("events", "--app", app, TOLLGATE_HISTORY_URL=url)
    assert refused.code == 3
    assert refused.err == "tollgate: the history is empty, this program needs 0001: run `tollgate history upgrade`\n"
    assert (await tollgate("history", "upgrade", "--json", TOLLGATE_HISTORY_URL=url)).json["before"] is None
    assert (await tollgate("history", "upgrade", "--json", TOLLGATE_HISTORY_URL=url)).json["before"] == "0001"
    found = await tollgate("events", "--app", app, TOLLGATE_HISTORY_URL=url)
    assert len(found.out.splitlines()) == 3
    [stream] = (await tollgate("history", "status", "--json", TOLLGATE_HISTORY_URL=url)).json["streams"]
    assert (stream["in_redis"], stream["waiting"], stream["archived_to"]) == (3, 3, None)
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
