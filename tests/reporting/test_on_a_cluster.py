"""All reports over a Redis Cluster, where the streams of the hash tags lie on several nodes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.workloads import Unit
from proxy.store.store import Store
from tests.reporting.command import Command
from tests.reporting.ledger_fixture import RecordedUsage, utc
from tests.reporting.receiver import Receiver
from tests.store.clusters import RedisCluster
from tests.store.conftest import servers_in

pytestmark = pytest.mark.slow

AT = utc("2020-11-21T12:00")
HUGE = 10**27


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with servers_in(tmp_path) as start:
        yield RedisCluster(start)


async def test_every_report(cluster: RedisCluster, receiver: Receiver, tmp_path: Path) -> None:
    tollgate = Command(tmp_path, cluster.url)
    async with await Store.open(cluster.url, tmp_path, deadline=30, control_timeout=30) as store:
        usage_records = RecordedUsage(store, tmp_path, cluster=True)
        written = {
            app: [await usage_records.request(app, units={Unit.PIXELS: 2}, amount=HUGE, at=AT) for _ in range(3)]
            for app in [await usage_records.app() for _ in range(6)]
        }
        usage_records.ledger.close()
    app = next(iter(written))
    usage = (await tollgate("usage", "--app", app, "--from", "2020-11-01", "--to", "2020-11-30", "--json")).json
    assert usage["totals"] == {"request_count": 3, "units": {"pixels": 6}, "amount": str(3 * HUGE)}
    events = (await tollgate("events", "--app", app)).out
    assert [json.loads(line)["id"] for line in events.splitlines()] == written[app]
    statement = (await tollgate("statements", "--app", app, "--period", "2020-11", "--json")).json
    assert (statement["totals"]["amount"], statement["event_count"]) == (str(3 * HUGE), 3)
    done = await tollgate("export", "--to", receiver.url, "--batch", "5")
    assert done.err == "tollgate: 18 events exported, 0 set aside\n"
    assert sorted(receiver.ids) == sorted(each for ids in written.values() for each in ids)
    assert (await tollgate("verify")).out.startswith("0 differences: ")
