"""A 304 may say how long the body would have been (RFC 9110 section 8.6); no client must wait for that body."""

from pathlib import Path

import pytest

from tests.response.server_fixture import responding, serving


@pytest.mark.parametrize("status", [204, 304])
async def test_connection_stays_usable(status: int, tmp_path: Path) -> None:
    inner = responding(status, [(b"content-length", b"1000"), (b"etag", b'"1"')])
    request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
    async with serving(inner, tmp_path) as server:
        response = await server.raw(request + request.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    assert response.count(b"HTTP/1.1 %d " % status) == 2
    assert b"content-length" not in response
    assert response.count(b'etag: "1"') == 2


async def test_head_keeps_the_length(tmp_path: Path) -> None:
    async with serving(responding(200, [(b"content-length", b"1000")]), tmp_path) as server:
        response = await server.request("HEAD")
    assert response.headers["content-length"] == "1000"
    assert response.content == b""
