"""One connection to a gateway, which carries one exchange at a time."""

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import cast

from proxy.network.sliced_reads import SlicedReads
from proxy.network.write_batch import BufferedWriter, WriteBatch
from proxy.upstream.errors import (
    ConnectionDropped,
    FirstByteTimeout,
    IdleTimeout,
    MalformedResponse,
    ResponseTruncated,
    UpstreamError,
)
from proxy.upstream.parser import FramingError, ResponseParser
from proxy.upstream.response import HIGH_WATER, Response
from proxy.upstream.timing import Deadline, Timeouts
from proxy.upstream.upload import Upload

Body = bytes | AsyncIterable[bytes] | None

# Up to here, copying a body behind its head costs less than a second write.
_ONE_WRITE = 64 * 1024


class UpstreamConnection(asyncio.Protocol):
    """A connection of the pool: a reserved slot first, a socket once it is dialled; after each exchange idle, or gone.

    An exchange ends in exactly one of ``_complete`` and ``fail``. Whatever leaves any doubt about where the next
    response would begin ends the connection as well.

    Args:
        origin: ``host:port``, for errors.
        keep_alive: seconds it may be idle.
        batch: the connections with which it writes.
        on_idle: called when it is ready for another exchange.
        on_lost: called once when its socket, if there ever was one, is gone.
    """

    __slots__ = (
        "_deadline",
        "_keep_alive",
        "_loop",
        "_on_idle",
        "_on_lost",
        "_parser",
        "_paused",
        "_reads",
        "_response",
        "_reused",
        "_timeouts",
        "_transport",
        "_upload",
        "_write_batch",
        "_writer",
        "dialled",
        "origin",
    )

    def __init__(
        self,
        origin: str,
        keep_alive: float,
        batch: WriteBatch,
        *,
        on_idle: Callable[["UpstreamConnection"], None],
        on_lost: Callable[["UpstreamConnection"], None],
    ) -> None:
        self.origin = origin
        self._keep_alive = keep_alive
        self._write_batch = batch
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._transport: asyncio.Transport  # from connection_made on
        self._writer: BufferedWriter
        self._reads: SlicedReads
        self.dialled = False
        self._parser = ResponseParser()
        self._loop = asyncio.get_running_loop()  # to get it costs a system call each time, so once
        self._deadline = Deadline(self._expired, self._loop)
        self._timeouts = Timeouts()
        self._response: Response | None = None
        self._upload: Upload | None = None
        self._paused = False
        self._reused = False

    @property
    def usable(self) -> bool:
        """True if it is idle and, as far as is known here, open."""
        return self.dialled and self._response is None and not self._transport.is_closing()

    # -- the exchange -------------------------------------------------------------------------------------------

    def exchange(self, head: bytes, body: Body, length: int | None, timeouts: Timeouts, *, bodiless: bool) -> Response:
        """Send a request and return its response, of which nothing has arrived yet."""
        self._response = response = Response(self, self._loop)
        self._parser.expect(response, bodiless=bodiless)
        self._timeouts = timeouts
        if body is None:
            self._writer.write(head)
        elif not isinstance(body, bytes):
            # Before the head, whose write may already pause it.
            transport = self._transport
            self._upload = Upload(body, length, transport, self.origin, progress=self._restart, failed=self.fail)
            self._writer.write_now([head])  # the upload goes on at the transport itself
        elif len(body) <= _ONE_WRITE:
            self._writer.write(head + body)
        else:
            self._writer.write_now([head, body])
        self._deadline.start(timeouts.first_byte)
        return response

    def expect_chunk(self) -> None:
        self._deadline.start(self._timeouts.idle)

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._reads.resume_reading()

    def abandon(self) -> None:
        self.fail(ResponseTruncated(self.origin, "the response was closed before its end"))

    def abort(self) -> None:
        """Close the socket at once; ``on_lost`` follows."""
        if self.dialled:
            self._writer.abort()

    def fail(self, error: Exception) -> None:
        """End the exchange with ``error`` for its reader, and the connection with it."""
        response = self._detach()
        if response is not None:
            response.end(error)
        self.abort()

    def _complete(self, response: Response) -> None:
        upload = self._upload
        # A response to half a request leaves the other half in the way of the next one.
        sent = (upload is None or upload.complete) and self._writer.empty and not self._reads.waiting
        self._detach()
        response.end()
        if sent and self._parser.reusable:
            self._reused = True
            self.resume()  # its last slice was parsed whether or not the response was full
            self._deadline.start(self._keep_alive)
            self._on_idle(self)
        else:
            self._writer.abort()

    def _detach(self) -> Response | None:
        response, self._response = self._response, None
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.cancel()
        return response

    # -- time ---------------------------------------------------------------------------------------------------

    def _restart(self) -> None:
        response = self._response
        if response is not None:
            self._deadline.start(self._timeouts.idle if response.status else self._timeouts.first_byte)

    def _expired(self) -> None:
        response, upload = self._response, self._upload
        if response is None:
            self.abort()
        elif not response.awaited:
            pass  # the reader is the slow one; its next wait starts the deadline again
        elif upload is not None and upload.starved:
            self._restart()
        elif response.status:
            idle = self._timeouts.idle
            self.fail(IdleTimeout(self.origin, f"the gateway stopped sending: nothing for {idle:g} s"))
        else:
            first_byte = self._timeouts.first_byte
            self.fail(FirstByteTimeout(self.origin, f"the gateway did not respond within {first_byte:g} s"))

    # -- called by the event loop -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._writer = BufferedWriter(self._transport, self._write_batch, self._loop)
        self._reads = SlicedReads(self._transport, self._loop, self._read, self._parser.slice_size)
        self.dialled = True

    def data_received(self, data: bytes) -> None:
        self._reads.feed(data)

    def _read(self, data: bytes | memoryview) -> None:
        response = self._response
        if response is None:
            # A response to nothing must not become the response to the next request.
            self.abort()
            return
        parser, begun = self._parser, response.status
        try:
            parser.feed(data)
        except FramingError as error:
            self.fail(MalformedResponse(self.origin, f"malformed response: {error}"))
            return
        if parser.complete:
            self._complete(response)
            return
        if response.size > HIGH_WATER and not self._paused:
            self._paused = True
            self._reads.pause_reading()
        if response.parts or response.status != begun:
            response.wake()

    def eof_received(self) -> None:
        self._reads.finish()
        response = self._response
        if response is not None and self._parser.end():
            self._complete(response)

    def connection_lost(self, exc: Exception | None) -> None:
        self._reads.finish()
        if self._response is not None:
            self.fail(self._lost_error())
        self._reads.close()
        self._deadline.cancel()
        self._on_lost(self)

    def pause_writing(self) -> None:
        if self._upload is not None:
            self._upload.pause()

    def resume_writing(self) -> None:
        if self._upload is not None:
            self._upload.resume()

    def _lost_error(self) -> UpstreamError:
        if self._parser.started:
            return ResponseTruncated(self.origin, "the gateway closed the connection inside its response")
        return ConnectionDropped(
            self.origin, "the gateway closed the connection without a response", reused=self._reused
        )
