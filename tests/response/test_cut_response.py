"""A response that fails after its head must never look whole, and must not fill the log with server errors."""

import asyncio
import logging
from pathlib import Path

import pytest
import structlog
from starlette.types import Receive, Send

from middlewares.exchange import Exchange, Outcome, Refusal
from tests.response.server_fixture import responding, serving

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def _refuse(exchange: Exchange, receive: Receive, send: Send) -> None:
    await responding(200, body=b"part", complete=False)(exchange, receive, send)
    exchange.forwarded = True
    exchange.end(Outcome.UPSTREAM_ERROR, "gateway_truncated", 502)
    raise Refusal(502, "gateway_truncated", "The response ended early.")


async def _give_up(exchange: Exchange, receive: Receive, send: Send) -> None:
    await responding(200, [(b"content-length", b"10")], b"part", complete=False)(exchange, receive, send)
    exchange.forwarded = True
    exchange.end(Outcome.UPSTREAM_ERROR)


async def _break(exchange: Exchange, receive: Receive, send: Send) -> None:
    await responding(200, body=b"part", complete=False)(exchange, receive, send)
    raise KeyError("a bug")


async def test_refusal_after_the_head(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(_refuse, tmp_path) as server:
        response = await server.raw(REQUEST)
        (line,) = await server.lines()
    assert response.endswith(b"\r\n\r\n4\r\npart\r\n")
    assert (line["status"], line["outcome"], line["error"]) == (200, "upstream_error", "gateway_truncated")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert server.sample("tollgate_refusals_total", code="gateway_truncated") == 1


async def test_return_before_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(_give_up, tmp_path) as server:
        response = await server.raw(REQUEST)
        (line,) = await server.lines()
    assert response.endswith(b"\r\n\r\npart")
    assert line["outcome"] == "upstream_error"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_bug_after_the_head_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with structlog.testing.capture_logs() as logs:
        async with serving(_break, tmp_path) as server:
            response = await server.raw(REQUEST)
            (line,) = await server.lines()
    assert response.endswith(b"\r\n\r\n4\r\npart\r\n")
    assert line["outcome"] == "internal_error"
    assert [(entry["event"], entry["request_id"]) for entry in logs] == [("internal_error", line["request_id"])]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_bug_after_the_end_changes_nothing_for_the_client(tmp_path: Path) -> None:
    async def inner(exchange: Exchange, receive: Receive, send: Send) -> None:
        await responding(200, [(b"content-length", b"2")], b"ok")(exchange, receive, send)
        raise KeyError("a bug")

    async with serving(inner, tmp_path) as server:
        response = await server.request()
        (line,) = await server.lines()
    assert (response.status_code, response.content) == (200, b"ok")
    assert (line["status"], line["outcome"], line["error"]) == (200, "internal_error", "internal_error")


async def test_client_that_left_before_any_response(tmp_path: Path) -> None:
    async def inner(exchange: Exchange, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        exchange.end(Outcome.CLIENT_DISCONNECT, "client_disconnect")

    async with serving(inner, tmp_path) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(REQUEST)
        await writer.drain()
        writer.close()
        (line,) = await server.lines()
    assert (line["status"], line["outcome"]) == (499, "client_disconnect")
    assert server.sample("tollgate_disconnects_total", route="none") == 1
