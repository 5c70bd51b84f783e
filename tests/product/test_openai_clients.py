"""Official OpenAI client, unchanged: its base URL is Tollgate's `/v1`, its API key one of Tollgate."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletionMessageParam

from middlewares.response.openai import RUNNER_FAILED
from tests.support.deployment import Customer, Deployment, deployed

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAY_HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello there"}]
PLANS = {
    "short": {"max_tokens": {"default": 3, "max": 6}},
    "one-a-minute": {"limits": {"app": {"requests_per_minute": 1}}},
}
MODELS = {"default_models": {"llm": "house"}, "chats": {"models": {"other": {"context_tokens": 2_000}}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    async with deployed(tmp_path_factory.mktemp("chats"), {"plans": PLANS, "edge": MODELS}) as deployment:
        yield deployment


@pytest_asyncio.fixture(loop_scope="module")
async def customer(deployment: Deployment) -> Customer:
    return await deployment.customer("short")


def synchronous(deployment: Deployment, key: str) -> openai.OpenAI:
    http = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(base_url=f"{deployment.public}/v1", api_key=key, http_client=http, max_retries=0)


def asynchronous(deployment: Deployment, key: str) -> openai.AsyncOpenAI:
    http = openai.DefaultAsyncHttpxClient(trust_env=False)
    return openai.AsyncOpenAI(base_url=f"{deployment.public}/v1", api_key=key, http_client=http, max_retries=0)


async def test_a_chat(deployment: Deployment, customer: Customer) -> None:
    async with asynchronous(deployment, customer.key) as client:
        chat = await client.chat.completions.create(model="m", messages=SAY_HELLO)
    assert (chat.object, chat.choices[0].finish_reason) == ("chat.completion", "stop")
    assert chat.choices[0].message.content == "t0 t1 t2"
    assert chat.usage is not None
    assert (chat.usage.prompt_tokens, chat.usage.completion_tokens) == (2, 3)
    [event] = await deployment.settled(1, customer.app)
    assert (event["workload"], event["model"], event["outcome"]) == ("llm", "m", "complete")
    assert (event["units"]["input_tokens"], event["units"]["output_tokens"]) == (2, 3)
    [forwarded] = deployment.forwarded(customer.app)
    assert (forwarded.method, forwarded.target) == ("POST", "/llm")


async def test_a_streamed_chat(deployment: Deployment, customer: Customer) -> None:
    async with asynchronous(deployment, customer.key) as client:
        stream = await client.chat.completions.create(
            model="m",
            messages=SAY_HELLO,
            stream=True,
            max_completion_tokens=5,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    last = chunks.pop()
    assert (last.choices, last.id, last.model) == ([], chunks[0].id, "m")
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (2, 5, 7)
    assert [chunk.usage for chunk in chunks] == [None] * 6
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "t0 t1 t2 t3 t4 "
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 5 + ["stop"]
    [event] = await deployment.settled(1, customer.app)
    assert event["units"]["output_tokens"] == 5


async def test_a_streamed_chat_that_did_not_ask_for_its_usage(deployment: Deployment, customer: Customer) -> None:
    async with asynchronous(deployment, customer.key) as client:
        chunks = [
            chunk async for chunk in await client.chat.completions.create(model="m", messages=SAY_HELLO, stream=True)
        ]
        wrong: Any = {"include_usage": "yes"}
        with pytest.raises(openai.BadRequestError, match="stream_options"):
            await client.chat.completions.create(model="m", messages=SAY_HELLO, stream=True, stream_options=wrong)
    assert [(len(chunk.choices), chunk.usage) for chunk in chunks] == [(1, None)] * 4


RAW_STREAMS = {
    "lines that end in CR LF, without a space after the colon": (b"data:%b\r\n\r\n" * 2 + b"data:[DONE]\r\n\r\n", 2),
    "a byte order mark, comments, data over two lines": (b"\xef\xbb\xbf: hi\n\ndata: %b\n: on\ndata:\n\ndata:%b", 2),
    "no usage at all, two ends": (b"data: %b\n\ndata: %b\n\n" + b"data: [DONE]\n\n" * 2, 2),
}
PIECES = (
    b'{"id":"c","created":1.0,"model":"m","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":""}]}',
    b'{ "id":"c", "created":1, "model":"m", "choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
)


@pytest.mark.parametrize("form", RAW_STREAMS)
async def test_the_client_reads_every_form_of_a_stream(deployment: Deployment, customer: Customer, form: str) -> None:
    stream, parts = RAW_STREAMS[form]
    response = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + stream % PIECES
    raw = base64.urlsafe_b64encode(response).decode().rstrip("=")
    instructions = {"X-Mock-Gateway": f"raw={raw},chunks=7"}
    async with asynchronous(deployment, customer.key) as client:
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model="m",
                messages=SAY_HELLO,
                stream=True,
                stream_options={"include_usage": True},
                extra_headers=instructions,
            )
        ]
    assert len(chunks) == parts + 1
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "hi"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 1
    [settled] = await deployment.settled(1, customer.app)
    assert (settled["outcome"], settled["units"]["output_tokens"]) == ("complete", 1)


async def test_the_streaming_helper_of_the_client(deployment: Deployment, customer: Customer) -> None:
    async with (
        asynchronous(deployment, customer.key) as client,
        client.chat.completions.stream(model="m", messages=SAY_HELLO) as stream,
    ):
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == "t0 t1 t2 "


async def test_events_come_as_they_are_made(deployment: Deployment, customer: Customer) -> None:
    async with asynchronous(deployment, customer.key) as client:
        held = f"mock/hold={customer.app},hold-at=2"
        stream = aiter(await client.chat.completions.create(model=held, messages=SAY_HELLO, stream=True))
        first = [await anext(stream) for _ in range(2)]
        assert [chunk.choices[0].delta.content for chunk in first] == ["t0 ", "t1 "]
        deployment.gateway.release(customer.app)
        assert len([chunk async for chunk in stream]) == 2


async def test_the_synchronous_client(deployment: Deployment, customer: Customer) -> None:
    def use() -> tuple[str | None, list[str | None], list[str]]:
        with synchronous(deployment, customer.key) as client:
            chat = client.chat.completions.create(model="m", messages=SAY_HELLO, temperature=0.5, n=1)
            stream = client.chat.completions.create(model="m", messages=SAY_HELLO, stream=True)
            texts = [chunk.choices[0].delta.content for chunk in stream]
            return chat.choices[0].message.content, texts, [model.id for model in client.models.list()]

    assert await asyncio.to_thread(use) == ("t0 t1 t2", ["t0 ", "t1 ", "t2 ", ""], ["house", "other"])
    await deployment.settled(2, customer.app)


async def test_a_stream_that_ends_early_is_an_error_of_the_client(deployment: Deployment, customer: Customer) -> None:
    async with asynchronous(deployment, customer.key) as client:
        stream = await client.chat.completions.create(model="mock/tokens=2,no-finish", messages=SAY_HELLO, stream=True)
        with pytest.raises(openai.APIError, match="ended before it was complete"):
            [chunk async for chunk in stream]
    [event] = await deployment.settled(1, customer.app)
    assert (event["outcome"], event["amount"]) == ("upstream_error", "0")


@pytest.mark.parametrize("body", [b"", b'{"choices":null}'])
async def test_a_success_without_a_choice_is_an_error_of_the_client(
    deployment: Deployment, customer: Customer, body: bytes
) -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    raw = base64.urlsafe_b64encode(response).decode().rstrip("=")
    async with asynchronous(deployment, customer.key) as client:
        with pytest.raises(openai.InternalServerError, match="no choice") as failed:
            await client.chat.completions.create(
                model="m", messages=SAY_HELLO, extra_headers={"X-Mock-Gateway": f"raw={raw}"}
            )
    assert failed.value.code == "gateway_failed"
    [event] = await deployment.settled(1, customer.app)
    assert (event["outcome"], event["error"], event["amount"]) == ("upstream_error", "gateway_failed", "0")


async def test_errors_are_the_clients_own(deployment: Deployment, customer: Customer) -> None:
    limited = await deployment.customer("one-a-minute")
    async with asynchronous(deployment, limited.key) as client:
        await client.chat.completions.create(model="m", messages=SAY_HELLO)
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model="m", messages=SAY_HELLO)
    assert refused.value.code == "rate_limited"
    async with asynchronous(deployment, "wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="m", messages=SAY_HELLO)
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
    async with asynchronous(deployment, customer.key) as client:
        with pytest.raises(openai.InternalServerError) as failed:
            await client.chat.completions.create(model="mock/status=500", messages=SAY_HELLO)
        assert failed.value.type == "server_error"
        with pytest.raises(openai.BadRequestError, match="not supported"):
            await client.chat.completions.create(model="m", messages=SAY_HELLO, n=2)
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="m", input="hi")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda chat: chat(model="m", messages=[]),
        lambda chat: chat(model="m", messages=SAY_HELLO, temperature=3, stream=True),
        lambda chat: chat(model="m", messages=SAY_HELLO, max_tokens=7, stream=True),
        lambda chat: chat(model="m", messages=[{"role": "tool", "content": "x", "tool_call_id": "1"}], stream=True),
    ],
)
async def test_a_chat_that_would_end_the_gateway_never_gets_there(
    deployment: Deployment, customer: Customer, wrong: Callable[..., object]
) -> None:
    def use() -> None:
        with synchronous(deployment, customer.key) as client, pytest.raises(openai.BadRequestError):
            wrong(client.chat.completions.create)

    await asyncio.to_thread(use)
    assert deployment.forwarded(customer.app) == []
    assert deployment.gateway.counters["crashes"] == 0


async def test_a_runner_that_fails_in_the_middle_is_an_error_on_both_routes(
    deployment: Deployment, customer: Customer
) -> None:
    """The gateway relays an event with `"choices":null` before it is cut (gateway contract section 10)."""
    async with asynchronous(deployment, customer.key) as client:
        stream = await client.chat.completions.create(model="mock/fail-after=2", messages=SAY_HELLO, stream=True)
        with pytest.raises(openai.APIError, match="The model failed"):
            assert all([chunk.choices async for chunk in stream])
    body = b""
    chat = {"model": "mock/fail-after=2", "messages": SAY_HELLO, "stream": True}
    async with httpx.AsyncClient(trust_env=False) as http:
        with contextlib.suppress(httpx.RemoteProtocolError):
            headers = {"x-api-key": customer.key}
            async with http.stream("POST", f"{deployment.public}/llm", json=chat, headers=headers) as response:
                async for piece in response.aiter_raw():
                    body += piece
    assert body.count(b"data: ") == 3
    assert body.endswith(RUNNER_FAILED)
    assert b'"choices":null' not in body
    outcomes = {event["outcome"] for event in await deployment.settled(2, customer.app)}
    assert outcomes == {"upstream_error"}
