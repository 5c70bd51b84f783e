"""The request side of an exchange: headers, query and body as they arrived."""

import hashlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from proxy.mock_gateway.connection import EXTENSION, Wire
from proxy.mock_gateway.record import Record


class Request:
    """One request. `params`: what the route's pattern captured from the path, decoded."""

    def __init__(self, record: Record, scope: Scope, receive: Receive) -> None:
        self.record = record
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.raw_path: str = scope["raw_path"].decode("latin-1")
        self.params: dict[str, str] = {}
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._query: bytes = scope["query_string"]
        self._wire: Wire = scope["extensions"][EXTENSION]["wire"]
        self._receive = receive
        self._body_read = False

    def header_values(self, name: str) -> list[str]:
        """Return every value of a header."""
        raw = name.encode()
        return [value.decode("latin-1") for key, value in self._headers if key == raw]

    def header(self, name: str) -> str:
        """Return the first value of a header, exactly; empty without it, as in Go."""
        return next(iter(self.header_values(name)), "")

    def query(self, name: str) -> str:
        """Return the first value of a query parameter, decoded; empty without it."""
        pairs = parse_qsl(self._query.decode("latin-1"), keep_blank_values=True)
        return next((value for key, value in pairs if key == name), "")

    @property
    def query_string(self) -> str:
        """The query as it came."""
        return self._query.decode("latin-1")

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, counted and hashed into the record."""
        if self._body_read:
            return
        self._body_read = True
        digest = hashlib.sha256()
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                await self._wire.gone()
            data, more = message["body"], message["more_body"]
            digest.update(data)
            self.record.body_length += len(data)
            if data:
                yield data
        self.record.body_sha256 = digest.hexdigest()
        self.record.body_complete = True

    async def read(self) -> bytes:
        """Return the whole body."""
        return b"".join([data async for data in self.body()])
