"""The client of the admin API: what it sends, and what becomes of responses that it cannot use."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from middlewares.store import StoreUnavailable
from proxy.api.admin.audit_endpoints import export_text
from proxy.api.admin.documents import AppChange, AppPage
from proxy.api.admin.operations.errors import ActRefused
from proxy.cli.remote.client import AdminClient

URL = "https://tollgate.example:9090"
EMPTY = b'{"items": [], "next": null}'


def client(status: int = 200, content: bytes = EMPTY, sent: list[httpx.Request] | None = None) -> AdminClient:
    """Return a client whose server responds with this; `sent` takes the requests."""

    def respond(request: httpx.Request) -> httpx.Response:
        if sent is not None:
            sent.append(request)
        return httpx.Response(status, content=content)

    return AdminClient(httpx.AsyncClient(base_url=URL, transport=httpx.MockTransport(respond)))


async def text(objects: list[dict[str, Any]]) -> bytes:
    """Return the text of an export of these."""

    async def lines() -> AsyncGenerator[dict[str, Any], None]:
        for each in objects:
            yield each

    return "".join([each async for each in export_text(lines())]).encode()


async def exported(content: bytes, status: int = 200) -> list[dict[str, Any]]:
    """Return the objects of an export with this text."""
    async with aclosing(client(status, content).lines("/apps/a/subject")) as lines:
        return [each async for each in lines]


async def test_members_that_nobody_set_are_not_sent() -> None:
    sent: list[httpx.Request] = []
    await client(sent=sent).call("PATCH", "/apps", AppPage, body=AppChange(tier=None))
    await client(sent=sent).call("GET", "/apps", AppPage, params={"after": "", "limit": 5, "app": None, "by": []})
    assert (sent[0].content, sent[0].headers["content-type"]) == (b'{"tier":null}', "application/json")
    assert (str(sent[1].url), sent[1].content) == (f"{URL}/api/v1/admin/apps?limit=5", b"")


@pytest.mark.parametrize(
    ("status", "code", "expected"), [(400, "invalid_parameter", 400), (403, "insufficient_role", 409), (404, "x", 409)]
)
async def test_a_refusal_is_that_of_the_operation(status: int, code: str, expected: int) -> None:
    with pytest.raises(ActRefused, match="not this") as caught:
        await client(status, b'{"code": "%s", "detail": "not this"}' % code.encode()).call("GET", "/apps", AppPage)
    assert (caught.value.code, caught.value.status) == (code, expected)


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (503, b'{"code": "store_unavailable", "detail": "no Redis"}', "no Redis"),
        (200, b"<html>", "is no admin API of this version: status 200"),
        (200, b'{"items": 1}', "is no admin API of this version: status 200"),
        (502, b"<html>", "is no admin API of this version: status 502"),
        (307, b"", "is no admin API of this version: status 307"),
    ],
)
async def test_a_server_that_cannot_serve_is_like_a_store_that_cannot(
    status: int, content: bytes, message: str
) -> None:
    with pytest.raises(StoreUnavailable, match=message):
        await client(status, content).call("GET", "/apps", AppPage)
    with pytest.raises(StoreUnavailable, match=message):
        await exported(content, status)


def test_what_is_no_origin_gets_no_key() -> None:
    for url in ("tollgate.example", "https://ann@tollgate.example", f"{URL}/api", "http://x:y", "file:///etc/passwd"):
        with pytest.raises(ActRefused, match="must be an origin"):
            AdminClient.at(url, "tgo_x")
    for key in ("", "tgo_\n", "tgo_é"):
        with pytest.raises(ActRefused, match="needs an operator key"):
            AdminClient.at(URL, key)


async def test_an_export_is_complete_or_an_error() -> None:
    """Hazard: a copy of somebody's data that ends early, and looks whole."""
    assert await exported(await text([])) == []
    objects = [{"kind": "app"}, {"kind": "event", "note": "]}\n\u2028\x85é"}]
    whole = await text(objects)
    assert await exported(whole) == objects
    for end in range(len(whole)):
        with pytest.raises(StoreUnavailable):
            await exported(whole[:end])
