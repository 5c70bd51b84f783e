"""Hazard: reference circles that requests leave behind let the collector stop a worker for 100 ms under load."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
import pytest_asyncio

from proxy.mock_gateway import MockGateway
from tests.support.deployment import Deployment

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="module")]

WARM_UP = 10
REQUESTS = 50
IMAGE = {"model_id": "m", "prompt": "p"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
STREAM = {**CHAT, "stream": True}
CASES = {
    "image": ("/text-to-image", IMAGE),
    "chat": ("/llm", CHAT),
    "stream": ("/llm", STREAM),
    "OpenAI chat": ("/v1/chat/completions", CHAT),
    "OpenAI stream": ("/v1/chat/completions", {**STREAM, "stream_options": {"include_usage": True}}),
}
WAYS = ("one connection", "a connection each")
SCRIPT = f"""
import asyncio, gc, http.client, json, sys
import uvloop
from config.loader import load
from proxy.server.control_plane.applications import control_plane
from proxy.server.worker_application import WorkerApplication
from proxy.server.http import bind, server, url_of
from proxy.server.protocol import protocol_class

key, cases = sys.argv[1], json.loads(sys.argv[2])
listener = bind("127.0.0.1:0")

def send_requests(path, document, times, anew):
    connection = http.client.HTTPConnection(*listener.getsockname())
    headers = {{"x-api-key": key, "content-type": "application/json"}}
    for _ in range(times):
        connection.request("POST", path, json.dumps(document), headers)
        response = connection.getresponse()
        assert response.status == 200 and response.read()
        if anew:
            connection.close()
    connection.close()

async def main():
    settings = load()
    found = {{}}
    async with WorkerApplication.open(settings, origin=url_of(listener), control=control_plane) as application:
        serving = server(application.app, protocol_class(settings.edge), grace_seconds=1)
        served = asyncio.create_task(serving.serve([listener]))
        await serving.listening.wait()
        for name, (path, document) in cases.items():
            await asyncio.to_thread(send_requests, path, document, {WARM_UP}, True)
            gc.disable()
            found[name] = []
            for anew in (False, True):
                gc.collect()
                await asyncio.to_thread(send_requests, path, document, {REQUESTS}, anew)
                await application.ledger.drain()
                await asyncio.sleep(0)
                found[name].append(gc.collect())
            gc.enable()
        serving.should_exit = True
        await served
    print(json.dumps(found))

uvloop.run(main())
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def garbage(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """Serve every case in one worker, without a server beside it; return the objects in circles by case and way."""
    folder: Path = tmp_path_factory.mktemp("garbage")
    async with MockGateway() as gateway:
        deployment = Deployment(folder, gateway, {}, {})
        customer = await deployment.customer()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SCRIPT, customer.key, json.dumps(CASES)),
            env=deployment.environment,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        assert len(gateway.requests) == len(CASES) * (WARM_UP + len(WAYS) * REQUESTS)
    found: dict[str, list[int]] = json.loads(output)
    return found


@pytest.mark.parametrize("name", CASES)
async def test_a_request_leaves_nothing_for_the_collector(garbage: dict[str, list[int]], name: str) -> None:
    for way, count in zip(WAYS, garbage[name], strict=True):
        assert count < REQUESTS, f"{count} objects in circles after {REQUESTS} requests on {way}"
