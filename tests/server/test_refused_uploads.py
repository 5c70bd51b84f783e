"""A refusal reaches a client that still sends, instead of the reset of a connection with unread bytes."""

import contextlib
import http.client
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.access import Edge
from tests.edge.server_fixture import Server, serve

SIZE = 8 * 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Edge(max_json_bytes=2048, header_seconds=0.3)) as running:
        yield running


@pytest.mark.parametrize(
    ("target", "status"), [("/llm", 413), ("/unknown", 404)], ids=["closes", "keeps the connection"]
)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_client_that_sends_all_before_it_reads(server: Server, target: str, status: int, framing: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        body = iter([b"v" * 65_536] * (SIZE // 65_536))
        headers = {"Content-Length": str(SIZE)} if framing == "length" else {}
        connection.request("POST", target, body, headers, encode_chunked=framing == "chunked")
        assert connection.getresponse().status == status


@pytest.mark.ci
@pytest.mark.parametrize(("target", "status"), [("/llm", b"413"), ("/unknown", b"404")])
def test_a_client_that_sends_slowly(server: Server, target: str, status: bytes) -> None:
    """It takes longer than a head may, and never reads before it has sent everything."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n".encode())
        for _ in range(16):
            client.sendall(b"v" * (SIZE // 16))
            time.sleep(0.06)
        raw = b""
        while chunk := client.recv(65_536):
            raw += chunk
    assert raw.startswith(b"HTTP/1.1 " + status)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("size", [SIZE, 100_000_000])
def test_curl(server: Server, size: int, tmp_path: Path) -> None:
    with (upload := tmp_path / "upload").open("wb") as file:
        file.truncate(size)
    url = f"http://127.0.0.1:{server.port}/llm"
    command = ["curl", "-s", "--noproxy", "*", "-m", "20", "-H", "Expect:", "-T", str(upload), "-X", "POST"]
    done = subprocess.run([*command, "-o", "/dev/null", "-w", "%{http_code}", url], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"413")


@pytest.mark.ci
def test_a_client_that_never_stops_is_let_go(server: Server) -> None:
    with server.connect() as client:
        client.send(b"POST /llm HTTP/1.1\r\nHost: a\r\nContent-Length: 200000000\r\n\r\n")
        while not client.lost:
            client.send(b"v" * 65_536)
        assert client.read_to_end().problem["status"] == 413
        assert client.bytes_read < 1_000_000
