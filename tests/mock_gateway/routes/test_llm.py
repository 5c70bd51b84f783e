"""/llm, plain and streamed (CONTRACT.md section 1.2)."""

import asyncio
import json
import shutil
from typing import Any

import httpx
import pytest

from proxy.mock_gateway import MockGateway

CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "why is it so"}],
    "max_tokens": 5,
    "stream": False,
}


def events(body: str) -> list[dict[str, Any]]:
    """The events of a stream of `data:` lines, each ended by an empty line."""
    assert body.endswith("\n\n")
    return [json.loads(event.removeprefix("data: ")) for event in body[:-2].split("\n\n")]


async def test_plain(client: httpx.AsyncClient) -> None:
    response = await client.post("/llm", json=CHAT)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    body = response.json()
    assert body["usage"] == {"prompt_tokens": 6, "completion_tokens": 5, "total_tokens": 11}
    assert body["choices"] == [
        {"finish_reason": "stop", "index": 0, "message": {"content": "t0 t1 t2 t3 t4", "role": "assistant"}}
    ]
    assert body.keys() == {"choices", "created", "id", "model", "usage"}
    assert body["model"] == "m"


async def test_stream_has_cumulative_usage_and_no_done(client: httpx.AsyncClient) -> None:
    response = await client.post("/llm", json=CHAT | {"stream": True})
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["connection"] == "keep-alive"
    assert "[DONE]" not in response.text
    *tokens, last = events(response.text)
    assert [event["usage"]["completion_tokens"] for event in tokens] == [1, 2, 3, 4, 5]
    assert {event["choices"][0]["finish_reason"] for event in tokens} == {""}
    assert "".join(event["choices"][0]["delta"]["content"] for event in tokens) == "t0 t1 t2 t3 t4 "
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["choices"][0]["delta"]["content"] == ""
    assert last["usage"] == {"prompt_tokens": 6, "completion_tokens": 5, "total_tokens": 11}


@pytest.mark.parametrize(
    ("behaviour", "count", "finish", "usage"),
    [("tokens=2", 3, "stop", 8), ("tokens=0", 1, "stop", 6), ("no-finish", 5, "", 11), ("zero-usage", 6, "stop", 0)],
)
async def test_stream_as_requested_by_the_model(
    client: httpx.AsyncClient, behaviour: str, count: int, finish: str, usage: int
) -> None:
    response = await client.post("/llm", json=CHAT | {"stream": True, "model": f"mock/{behaviour}"})
    got = events(response.text)
    assert len(got) == count
    assert got[-1]["choices"][0]["finish_reason"] == finish
    assert got[-1]["usage"]["total_tokens"] == usage


async def test_each_event_is_flushed(mock_gateway: MockGateway, client: httpx.AsyncClient) -> None:
    headers = {"x-mock-gateway": "hold=third,hold-at=2"}
    async with client.stream("POST", "/llm", json=CHAT | {"stream": True}, headers=headers) as response:
        lines = response.aiter_lines()
        got = [await anext(lines) for _ in range(4)]
        await mock_gateway.wait_for(held=1)
        assert mock_gateway.requests[0].chunks_sent == 2
        mock_gateway.release("third")
        got += [line async for line in lines]
    assert sum(line.startswith("data: ") for line in got) == 6


@pytest.mark.parametrize("field", ["model", "messages", "stream", "max_tokens"])
@pytest.mark.parametrize("value", ["absent", None])
async def test_required_fields(client: httpx.AsyncClient, field: str, value: str | None) -> None:
    chat = {**CHAT, field: None} if value is None else {key: CHAT[key] for key in CHAT if key != field}
    response = await client.post("/llm", json=chat)
    assert (response.status_code, response.json()) == (400, {"error": {"message": "missing required fields"}})


@pytest.mark.parametrize(
    "bad",
    [
        {"messages": []},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        {"messages": ["x"]},
        {"max_tokens": "5"},
        {"max_tokens": 5.5},
        {"temperature": "hot"},
        {"stream": "true"},
    ],
)
async def test_what_go_cannot_decode_is_400(client: httpx.AsyncClient, bad: dict[str, Any]) -> None:
    assert (await client.post("/llm", json=CHAT | bad)).status_code == 400


REFUSED: list[dict[str, Any]] = [
    {"temperature": 2.1},
    {"temperature": -0.1},
    {"top_p": 1.1},
    {"top_p": -1},
    {"top_p": 0},
    {"top_p": 1e-50},
    {"max_tokens": 0},
    {"messages": [{"role": "tool", "content": "x"}]},
    {"messages": [{"content": "x"}]},
    {"messages": [{"role": "user", "content": "x " * 8193}]},
]


@pytest.mark.parametrize("bad", REFUSED)
async def test_a_refused_parameter_drops_the_connection_when_plain(
    mock_gateway: MockGateway, client: httpx.AsyncClient, bad: dict[str, Any]
) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/llm", json=CHAT | bad)
    assert mock_gateway.counters["crashes"] == 0
    assert mock_gateway.requests[0].runner_calls == 20


@pytest.mark.parametrize("bad", REFUSED)
async def test_a_refused_parameter_crashes_the_gateway_when_streamed(
    mock_gateway: MockGateway, client: httpx.AsyncClient, bad: dict[str, Any]
) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/llm", json=CHAT | {"stream": True} | bad)
    assert (await mock_gateway.wait_for(crashes=1, finished=1))["crashes"] == 1
    assert (await client.post("/llm", json=CHAT)).status_code == 200


async def test_a_client_that_leaves_stops_the_stream(mock_gateway: MockGateway, client: httpx.AsyncClient) -> None:
    headers = {"x-mock-gateway": "tokens=1000,hold=never,hold-at=3"}
    chat = CHAT | {"stream": True, "max_tokens": 1000}
    async with client.stream("POST", "/llm", json=chat, headers=headers) as response:
        async for line in response.aiter_lines():
            if '"completion_tokens":3' in line:
                break
    await mock_gateway.wait_for(finished=1)
    seen = mock_gateway.requests[0]
    assert (seen.outcome, seen.disconnected_at, seen.status) == ("aborted", 3, 200)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
async def test_curl_reads_the_stream(mock_gateway: MockGateway) -> None:
    """`curl -N`, as in the tour: it is the first client people try."""
    command = ["curl", "--silent", "--no-buffer", "--noproxy", "*", "--data", json.dumps(CHAT | {"stream": True})]
    curl = await asyncio.create_subprocess_exec(*command, f"{mock_gateway.url}/llm", stdout=asyncio.subprocess.PIPE)
    out, _ = await curl.communicate()
    assert curl.returncode == 0
    assert len(events(out.decode())) == 6
