"""Hazard: reference circles that requests leave behind let the collector stop a worker for 100 ms under load."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from proxy.mock_gateway import MockGateway
from tests.support.deployment import Deployment

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

def send_requests(times, anew):
    connection = http.client.HTTPConnection(*listener.getsockname())
    for _ in range(times):
        connection.request("POST", path, body, {{"x-api-key": key, "content-type": "application/json"}})
        response = connection.getresponse()
        assert response.status == 200 and response.read()
        if anew:
            connection.close()
    connection.close()

async def main():
    settings = load()
    async with WorkerApplication.open(settings) as application:
        serving = server(application.app, protocol_class(settings.edge), grace_seconds=1)
        served = asyncio.create_task(serving.serve([listener]))
        await serving.listening.wait()
        await asyncio.to_thread(send_requests, 10, True)
        gc.disable()
        for anew in (False, True):
            gc.collect()
            await asyncio.to_thread(send_requests, {REQUESTS}, anew)
            await application.ledger.drain()
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
    """The script is the only worker, so `tollgate serve` is not started."""
    async with MockGateway() as gateway:
        deployment = Deployment(tmp_path, gateway, {}, {})
        customer = await deployment.customer()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SCRIPT, customer.key, path, json.dumps(document)),
            env=deployment.environment,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert len(gateway.requests) == 10 + 2 * REQUESTS
    assert process.returncode == 0
    counts = output.split()
    assert len(counts) == 2
    for found in counts:
        assert int(found) < REQUESTS, (
            f"objects in circles after {REQUESTS} requests, then as many connections: {output!r}"
        )
