"""A response, filled by its connection and emptied by its reader."""

import asyncio
from types import TracebackType
from typing import Protocol, Self

HIGH_WATER = 64 * 1024
"""Bytes of a body that may wait for their reader before the gateway is no longer read."""


class ResponseSource(Protocol):
    """The connection that fills a response, as the response sees it."""

    def expect_chunk(self) -> None:
        """Start the idle limit: the reader now waits for a part of the body."""

    def resume(self) -> None:
        """Read on: the reader has emptied a buffer that was too full."""

    def abandon(self) -> None:
        """Drop the connection: the reader wants no more of the response."""


class Response:
    """One response, readable as it arrives.

    Read it to its end or close it; until then it holds a connection. As a context manager it closes itself::

        with await pool.send(...) as response:
            data = response.buffered()
            while not response.complete:
                data = await response.chunk()

    Attributes:
        status: 200 to 999.
        headers: ``(name, value)`` as received, repeated ones included; names in lower case, values without the
            white space around them.
        content_length: as announced, in bytes. A response to HEAD, 204 and 304 may announce one and have no body.
        chunked: the body came in chunks.
        complete: the whole body has arrived and was framed correctly. After ``buffered`` or ``chunk`` nothing more
            will come.
    """

    __slots__ = (
        "_connection",
        "_error",
        "_loop",
        "_waiter",
        "chunked",
        "complete",
        "content_length",
        "headers",
        "parts",
        "size",
        "status",
    )

    def __init__(self, connection: ResponseSource | None = None, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.content_length: int | None = None
        self.chunked = False
        self.complete = False
        self.parts: list[bytes] = []
        self.size = 0
        self._connection = connection
        self._error: Exception | None = None
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None

    # -- for the reader -----------------------------------------------------------------------------------------

    def buffered(self) -> bytes:
        """Take what has arrived of the body, without waiting; ``b""`` when that is nothing."""
        parts = self.parts
        if not parts:
            return b""
        if len(parts) == 1:
            data = parts.pop()
        else:
            data = b"".join(parts)
            parts.clear()
        if self.size > HIGH_WATER and self._connection is not None:
            self._connection.resume()
        self.size = 0
        return data

    async def chunk(self) -> bytes:
        """Take the next part of the body as soon as there is one; ``b""`` at its end.

        One reader at a time. Cancelling it closes the response.

        Raises:
            UpstreamError: the rest of the body will not come; raised after all that did come was taken.
            Exception: whatever the source of the request body raised.
        """
        if not self.parts and not self.complete:
            change = self.change()
            if self._connection is not None:
                self._connection.expect_chunk()
            try:
                await change
            except BaseException:
                self.close()
                raise
        return self.buffered()

    def close(self) -> None:
        """Give up the rest of the response, and the connection with it; nothing when it is complete."""
        if self._connection is not None:
            self._connection.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- for the connection -------------------------------------------------------------------------------------

    @property
    def awaited(self) -> bool:
        """True if the reader waits for the connection, and not the other way round."""
        return self._waiter is not None

    def change(self) -> asyncio.Future[None]:
        """Return what the reader waits for: the head first, then a part of the body or its end.

        A reader that gives up waiting must close the response. Raises what ended the response before.
        """
        if self._error is not None:
            raise self._error
        if self._waiter is not None:
            raise RuntimeError("a response has one reader at a time")
        self._waiter = waiter = (self._loop or asyncio.get_running_loop()).create_future()
        return waiter

    def wake(self) -> None:
        """Wake the reader: what it waits for is there."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def end(self, error: Exception | None = None) -> None:
        """End the response: it is complete, or failed with ``error``."""
        self._connection = None
        if error is None:
            self.complete = True
            self.wake()
            return
        self._error = error
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
