"""Hazard: reference circles that requests leave behind let the collector stop a worker for 100 ms under load."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.support.deployment import deployed

REQUESTS = 50
SCRIPT = f"""
import asyncio, gc, http.client, json, sys
import uvloop
from config.loader import load
from proxy.server.worker_application import WorkerApplication
from proxy.server.http import bind, server
from proxy.server.protocol import protocol_class

key, path, body = sys.argv[1:]
listener = bind("127.0.0.1:0")

def ask(times, anew):
    connection = http.client.HTTPConnection(*listener.getsockname())
    for _ in range(times):
        connection.request("POST", path, body, {{"x-api-key": key, "content-type": "application/json"}})
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read()
        if anew:
            connection.close()
    connection.close()

async def main():
    settings = load()
    async with WorkerApplication.open(settings) as gate:
        serving = server(gate.app, protocol_class(settings.edge), grace_seconds=1)
        served = asyncio.create_task(serving.serve([listener]))
        await serving.listening.wait()
        await asyncio.to_thread(ask, 10, True)
        gc.disable()
        for anew in (False, True):
            gc.collect()
            await asyncio.to_thread(ask, {REQUESTS}, anew)
            await gate.ledger.drain()
            await asyncio.sleep(0)
            print(gc.collect())
        serving.should_exit = True
        await served

uvloop.run(main())
"""


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/text-to-image", {"model_id": "m", "prompt": "p"}),
        ("/llm", {"model": "m", "messages": [{"role": "user", "content": "hello"}]}),
        ("/llm", {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}),
    ],
    ids=["image", "chat", "stream"],
)
async def test_a_request_leaves_nothing_for_the_collector(
    tmp_path: Path, path: str, document: dict[str, object]
) -> None:
    async with deployed(tmp_path) as gate:
        customer = await gate.customer("unlimited")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SCRIPT, customer.key, path, json.dumps(document)),
            env=gate.environment,
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
    assert process.returncode == 0
    for found in said.split():
        assert int(found) < REQUESTS, (
            f"objects in circles after {REQUESTS} requests, then as many connections: {said!r}"
        )
