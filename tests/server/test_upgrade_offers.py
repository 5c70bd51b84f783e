"""Offers to upgrade are ignored: the request is served in HTTP/1.1, and its connection stays usable."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from config.access import Edge
from tests.edge.server_fixture import Server, serve

OFFERS = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "no Connection": b"Upgrade: h2c\r\n",
}
LAST = b"GET /stream/last HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"
EMPTY = b"Content-Length: 0\r\n\r\n"
LENGTH = b"Content-Length: 4\r\n\r\nWiki"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Edge()) as running:
        yield running


def put(offer: bytes, body: bytes) -> bytes:
    return b"PUT /live/movie/0.ts HTTP/1.1\r\nHost: proxy\r\n" + offer + body


@pytest.mark.parametrize("body", [b"\r\n", EMPTY, LENGTH, CHUNKED], ids=["no body", "empty", "length", "chunked"])
@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("pipelined", [True, False])
def test_an_offer_is_ignored_and_the_connection_goes_on(
    server: Server, offer: bytes, body: bytes, pipelined: bool
) -> None:
    requests = [put(offer, body), put(offer, body), LAST]
    response = server.send(b"".join(requests)) if pipelined else server.send(*requests)
    assert response.statuses == [200, 200, 200]
    assert [seen.body for seen in response.seen] == [b"Wiki" if b"Wiki" in body else b""] * 2 + [b""]
    for seen in response.seen:
        assert {b"upgrade", b"http2-settings", b"connection"}.isdisjoint(dict(seen.exchange.headers))


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_an_offer_cut_at_any_place(server: Server, offer: bytes) -> None:
    raw = put(offer, CHUNKED) + LAST
    for cut in range(1, len(raw), 7):
        response = server.send(raw[:cut], raw[cut:])
        assert response.statuses == [200, 200]
        assert response.seen[0].body == b"Wiki"


def test_what_follows_an_offer_is_not_read_as_another_protocol(server: Server) -> None:
    response = server.send(put(OFFERS["h2c"], b"\r\n") + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert response.statuses == [200, 400]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(("option", "good"), [("--http2", True), ("--http2-prior-knowledge", False)])
def test_curl(server: Server, option: str, good: bool) -> None:
    url = f"http://127.0.0.1:{server.port}/stream/a"
    command = ["curl", "-s", "--noproxy", "*", "-m", "10", option, "-w", "%{http_code} %{http_version}", url, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "does not support" in done.stderr or done.returncode == 4:
        pytest.skip("this curl has no HTTP/2")
    assert (done.stdout == "ok200 1.1" * 2) is good
