"""What a gateway says of itself in passing, its address and its money, does not reach its clients."""

from base64 import urlsafe_b64encode

import httpx
import pytest

from middlewares.tenancy.names import at_gateway
from tests.support.deployment import Customer, Deployment
from tests.support.gateways import job, made_stream

pytestmark = pytest.mark.asyncio(loop_scope="package")


def connect(deployment: Deployment, customer: Customer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=deployment.public, headers=customer.headers, trust_env=False, timeout=30)


def encoded(response: bytes) -> str:
    return urlsafe_b64encode(response).decode().rstrip("=")


async def test_the_text_of_a_refused_segment_names_the_public_origin(
    deployment: Deployment, customer: Customer
) -> None:
    async with connect(deployment, customer) as client:
        response = await client.post("/live/cam/0.ts", content=b"no video at all")
    public = f"{deployment.public}/live/{at_gateway(customer.app, 'cam')}/0.ts"
    assert (response.status_code, response.text.strip()) == (422, f"Error getting codec info url={public}")
    assert deployment.gateway.url.removeprefix("http://") not in response.text


@pytest.mark.parametrize("capability", ["mock/sse", "mock/no-funds,sse", "cap"])
async def test_no_balance_is_in_a_job_s_response(deployment: Deployment, customer: Customer, capability: str) -> None:
    async with connect(deployment, customer) as client:
        response = await client.post("/process/request/run", json={}, headers=job(capability))
    assert response.status_code == 200
    assert "balance" not in str(response.headers)
    assert "orchestrator" not in str(response.headers)
    text = response.text.replace("event: insufficient balance\ndata: {}\n", "")
    assert "balance" not in text
    assert ("[DONE]" in text) is (capability != "cap")
    assert ("event: insufficient balance" in response.text) is ("no-funds" in capability)


async def test_nothing_of_the_gateways_machine_is_in_a_stream_s_documents(
    deployment: Deployment, customer: Customer
) -> None:
    async with connect(deployment, customer) as client:
        urls = await made_stream(client, stream_name="cam", rtmp_output="rtmp://10.0.0.1/mine")
        status = await client.get(urls["status_url"])
    gateway = deployment.gateway.url.removeprefix("http://")
    for text in (str(urls), status.text):
        assert not any(part in text for part in ("rtmp://", "localhost", "10.0.0.1", gateway, "orchestrator"))


async def test_an_error_that_names_machines_names_none_to_the_client(
    deployment: Deployment, customer: Customer
) -> None:
    error = (
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"X-Publish-Url: http://10.0.0.7/x\r\nLivepeer-Payment-Balance: 7\r\n\r\n"
        b'{"error":{"message":"Post \\"https://203.0.113.7:8935/x\\": dial tcp 10.0.0.7:80: connection refused"}}'
    )
    instructions = {"X-Mock-Gateway": f"raw={encoded(error)}"}
    chat = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    async with connect(deployment, customer) as client:
        for path in ("/llm", "/v1/chat/completions"):
            response = await client.post(path, json=chat, headers=instructions)
            message = 'Post "[internal]": dial tcp [internal]: connection refused'
            assert (response.status_code, response.json()["error"]["message"]) == (500, message)
            assert not {"x-publish-url", "livepeer-payment-balance"} & response.headers.keys()
