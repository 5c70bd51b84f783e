"""Webhooks of a Tollgate that runs as a user runs it: four workers, a budget under fire, the API and the command."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from proxy.history import queries
from proxy.history.store import History
from proxy.webhooks.notifications import outbox
from tests.support.builder import BuilderApp, builder_app
from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.raw_http import RawConnection, Response, request
from tests.webhooks.notifications.conftest import LOCAL
from tests.webhooks.notifications.receiver import Receiver, receiving

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PARALLEL = 1_000
PRICE = 10**15
CONFIG = {
    "workers": 4,
    "notifications": LOCAL,
    "plans": {
        "budget": {
            "billing": "usage",
            "prices": [{"unit": "requests", "amount": PRICE}],
            "limits": {"app": {"caps": [{"unit": "amount", "per": "month", "max": PARALLEL * PRICE}]}},
        },
    },
}


@dataclass(frozen=True)
class Served:
    """A deployment, and a receiver that it trusts."""

    deployment: Deployment
    receiver: Receiver
    http: httpx.AsyncClient

    async def app(self, plan: str = "unlimited") -> BuilderApp:
        """Create an app on a plan."""
        return await builder_app(self.deployment, self.http, plan)

    async def looked(self) -> None:
        """Wait until the notifier has looked at every event that is archived."""
        history = History.of(self.deployment.settings)

        async def behind() -> bool:
            cursors = await history.read(queries.cursors)
            return {tag: each.seq for tag, each in cursors.items()} == await history.read(outbox.look_cursors)

        await eventually(behind)
        await history.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder: Path = tmp_path_factory.mktemp("notified")
    async with receiving(folder) as receiver:
        environment = {"SSL_CERT_FILE": str(receiver.authority)}
        async with (
            deployed(folder, CONFIG, environment) as deployment,
            httpx.AsyncClient(base_url=deployment.public, timeout=60, trust_env=False) as http,
        ):
            yield Served(deployment, receiver, http)


async def register(served: Served, app: BuilderApp) -> str:
    """Register the receiver as the only one whose signature counts; return the id of the endpoint."""
    made = await served.http.post(f"{app.path}/webhooks", json={"url": served.receiver.url}, auth=app.basic)
    assert made.status_code == 201, made.text
    served.receiver.secrets[:] = [made.json()["secret"]]
    served.receiver.received.clear()
    return str(made.json()["webhook_id"])


async def send_one(connection: RawConnection, key: str) -> Response:
    await connection.send(request("GET", "/stream/a.ts", [("X-Api-Key", key), ("X-Mock-Gateway", "bytes=2")]))
    return await connection.response()


async def test_a_budget_under_fire_is_told_of_once_at_each_threshold(served: Served) -> None:
    app = await served.app("budget")
    await register(served, app)
    customer = Customer(app.client_id, await served.deployment.key(app.client_id))
    opened = await asyncio.gather(*(RawConnection.open(served.deployment.address) for _ in range(PARALLEL)))
    responses = await asyncio.gather(*(send_one(each, customer.key) for each in opened))
    assert Counter(each.status for each in responses) == {200: PARALLEL}
    assert (await send_one(opened[0], customer.key)).status == 402
    await eventually(lambda: len(served.receiver.received) >= 3)
    await served.deployment.settled(PARALLEL, app.client_id)
    await served.looked()
    told = served.receiver.of_kind("limit.threshold")
    assert [each["percent"] for each in told] == [50, 80, 100]
    assert told[-1]["used"] == told[-1]["limit"] == str(PARALLEL * PRICE)
    assert Counter(served.receiver.ids).most_common(1)[0][1] == 1
    assert len(served.receiver.received) == 3
    for connection in opened:
        await connection.close()
    print(f"{PARALLEL} parallel requests over 4 workers: {len(told)} webhooks, {len(set(served.receiver.ids))} ids")


async def test_an_app_registers_tries_rotates_lists_and_replays(served: Served) -> None:
    app = await served.app()
    webhook_id = await register(served, app)
    one = f"{app.path}/webhooks/{webhook_id}"
    post, get = served.http.post, served.http.get
    tried = (await post(f"{one}/test", auth=app.basic)).json()
    assert (tried["delivered"], tried["status"], tried["error"]) == (True, 200, None)
    assert [content["type"] for _, content in served.receiver.received] == ["webhook.test"]
    rotated = (await post(f"{one}/secret", json={"overlap_seconds": 60}, auth=app.basic)).json()
    served.receiver.secrets.append(rotated["secret"])
    assert (await post(f"{one}/test", auth=app.basic)).json()["delivered"]
    assert served.receiver.signatures[-1] == 2
    listed = await get(f"{app.path}/webhooks", auth=app.basic)
    assert [each["webhook_id"] for each in listed.json()["webhooks"]] == [webhook_id]
    assert "secret" not in listed.text
    served.receiver.status = 500
    refused = (await post(f"{one}/test", auth=app.basic)).json()
    assert (refused["delivered"], refused["status"]) == (False, 500)
    served.receiver.status = 200
    assert (await get(f"{one}/deliveries", auth=app.basic)).json() == {"deliveries": [], "next": None}
    missing = await post(f"{one}/deliveries/msg_{'0' * 32}/replay", auth=app.basic)
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_id")
    bad = await post(f"{app.path}/webhooks", json={"url": "http://hooks.example/"}, auth=app.basic)
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid_parameter")
    changed = await served.http.patch(one, json={"kinds": ["key.revoked"], "balance_below": "5"}, auth=app.basic)
    assert (changed.json()["kinds"], changed.json()["balance_below"]) == (["key.revoked"], "5")
    other = await served.app()
    for method, path in (("GET", one), ("DELETE", one), ("POST", f"{one}/test"), ("POST", f"{one}/secret")):
        foreign = await served.http.request(method, path.replace(app.client_id, other.client_id), auth=other.basic)
        assert (foreign.status_code, foreign.json()["code"]) == (404, "unknown_id")
    assert (await served.http.delete(one, auth=app.basic)).status_code == 200
    assert (await get(one, auth=app.basic)).status_code == 404
    lines = (await get(f"{app.path}/audit", auth=app.basic)).json()["lines"]
    done = Counter(each["action"] for each in lines if each["result"] == "done")
    assert done == {
        "webhook.create": 1,
        "webhook.test": 3,
        "webhook.rotate_secret": 1,
        "webhook.change": 1,
        "webhook.remove": 1,
    }, lines


async def test_the_command_does_the_same_for_operators(served: Served) -> None:
    async def tollgate(*arguments: str) -> tuple[int, str]:
        code, out, err = await served.deployment.cli("webhooks", *arguments)
        return code, out or err

    code, out = await tollgate("create", served.receiver.url, "--kind", "pool.down", "--json")
    assert code == 0, out
    made = json.loads(out)
    served.receiver.secrets[:] = [made["secret"]]
    served.receiver.received.clear()
    code, out = await tollgate("test", made["webhook_id"], "--json")
    assert (code, json.loads(out)["delivered"]) == (0, True)
    served.receiver.status = 410
    code, out = await tollgate("test", made["webhook_id"])
    assert code == 1
    assert "410" in out
    served.receiver.status = 200
    code, out = await tollgate("list", "--json")
    assert [each["owner"] for each in json.loads(out)] == ["operator"]
    code, out = await tollgate("rotate", made["webhook_id"], "--overlap", "1h", "--json")
    assert code == 0
    assert json.loads(out)["secret"] != made["secret"]
    assert (await tollgate("change", made["webhook_id"], "--pause", "--json"))[0] == 0
    assert (await tollgate("deliveries", made["webhook_id"], "--json"))[0] == 0
    assert (await tollgate("create", "https://127.0.0.2.example/", "--kind", "key.old"))[0] == 2
    assert (await tollgate("create", "https://10.0.0.1/"))[0] == 2
    assert (await tollgate("remove", made["webhook_id"]))[0] == 0
    assert (await tollgate("test", made["webhook_id"]))[0] == 1
