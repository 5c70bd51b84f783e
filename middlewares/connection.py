"""The client's connection, as the stages see it: `scope["tollgate.connection"]`, provided by the HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class ClientConnection(Protocol):
    """A client's connection, during one of its requests."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop it runs in."""
        ...

    def body_received(self) -> bool:
        """Return True if the request body has arrived to its end."""
        ...

    def unread_body(self) -> bytes:
        """Take what has arrived of the request body and was not read; empty after that."""
        ...

    def whole_body(self) -> bytes | None:
        """Take what has arrived of the request body and was not read; None until its end, or once the client left."""
        ...

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, should the client go away before its response is complete."""
        ...

    def abort(self) -> None:
        """Close the connection at once, so that an unfinished response does not look complete."""
        ...
