"""A receiver of webhooks on TLS, which checks every signature with the library's own verifier."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

from tests.identity.test_public_addresses import certificates


@dataclass
class Receiver:
    """Takes webhooks at `https://localhost:<port>/hook`."""

    authority: Path
    """Certificate that a client has to trust."""
    client_tls: ssl.SSLContext
    port: int = 0
    secrets: list[str] = field(default_factory=list)
    """Each of them has to have signed every webhook."""
    status: int = 200
    """What it responds."""
    location: str = ""
    """Where it redirects to, if its status is that of a redirect."""
    cookie: str = ""
    """What it asks its callers to keep."""
    cookies: list[str] = field(default_factory=list)
    """Those that it was shown."""
    connections: int = 0
    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Id and content of the webhooks that were taken, in order."""
    refused: list[str] = field(default_factory=list)
    """Ids of those that were not."""
    signatures: list[int] = field(default_factory=list)
    """How many each of the webhooks had."""

    @property
    def url(self) -> str:
        """Return where it takes webhooks."""
        return f"https://localhost:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        """Return the ids of the webhooks that were taken, in order."""
        return [name for name, _ in self.received]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """Return the data of the webhooks of one kind that were taken, in order."""
        return [content["data"] for _, content in self.received if content["type"] == kind]

    async def respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:]) if name
        }
        self.cookies += [headers["cookie"]] if "cookie" in headers else []
        body = await reader.readexactly(int(headers["content-length"]))
        for secret in self.secrets:
            Webhook(secret).verify(body, headers)
        self.signatures.append(len(headers["webhook-signature"].split(" ")))
        if self.status == 200:
            self.received.append((headers["webhook-id"], json.loads(body)))
        else:
            self.refused.append(headers["webhook-id"])
        asked = {"Location": self.location, "Set-Cookie": self.cookie}
        fields = "".join(f"{name}: {value}\r\n" for name, value in asked.items() if value).encode()
        writer.write(b"HTTP/1.1 %d X\r\n%sConnection: close\r\nContent-Length: 0\r\n\r\n" % (self.status, fields))
        with contextlib.suppress(OSError):
            await writer.drain()
            writer.close()
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def receiving(folder: Path) -> AsyncIterator[Receiver]:
    """Run a receiver."""
    server_tls, client_tls = certificates(folder, "localhost")
    receiver = Receiver(folder / "server.pem", client_tls)
    async with await asyncio.start_server(receiver.respond, "127.0.0.1", 0, ssl=server_tls) as server:
        receiver.port = server.sockets[0].getsockname()[1]
        yield receiver
