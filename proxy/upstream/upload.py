"""A streamed request body on its way to the gateway."""

import asyncio
from collections.abc import AsyncIterable, Callable

from proxy.upstream.errors import RequestIncomplete


class Upload:
    """Writes a body as fast as its source gives and the gateway takes, in a task of its own.

    It runs beside the response, which may begin or end before the body does. The body is framed by its declared
    length (more than 0), else by chunks (RFC 9112 section 7.1); it is never made to look complete when its source
    failed. The source is closed in the end, if it can be.

    Attributes:
        complete: True once the last byte of the body was written.
        starved: True while the upload waits for its source.
    """

    __slots__ = ("_drained", "_failed", "_length", "_origin", "_progress", "_task", "_transport", "complete", "starved")

    def __init__(
        self,
        source: AsyncIterable[bytes],
        length: int | None,
        transport: asyncio.WriteTransport,
        origin: str,
        *,
        progress: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.complete = False
        self.starved = False
        self._length = length
        self._transport = transport
        self._origin = origin
        self._progress = progress
        self._failed = failed
        self._drained: asyncio.Future[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run(source))

    def pause(self) -> None:
        self._drained = asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def cancel(self) -> None:
        """Write no more; a source that waits is cancelled and closed."""
        if not self.complete:
            self._task.cancel()

    async def _run(self, source: AsyncIterable[bytes]) -> None:
        try:
            try:
                await self._write(source)
            finally:
                close = getattr(source, "aclose", None)
                if close is not None:
                    await close()
        except asyncio.CancelledError:
            if not self.complete:
                self._failed(RequestIncomplete(self._origin, "the upload of the request body was cancelled"))
            raise
        except Exception as error:
            if self.complete:  # the source failed to close, which is nothing to the exchange
                context = {"message": "closing the source of a request body failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)
            else:
                self._failed(error)

    async def _write(self, source: AsyncIterable[bytes]) -> None:
        write, left = self._transport.write, self._length
        self.starved = True
        async for data in source:
            self.starved = False
            if self._transport.is_closing():
                return  # it takes anything now, at once and for nothing; connection_lost will say why
            if left is not None:
                left -= len(data)
                if left < 0:
                    raise RequestIncomplete(self._origin, "the request body is longer than its declared length")
                write(data)
            elif data:  # an empty chunk would end the body
                write(b"%x\r\n%b\r\n" % (len(data), data))
            self._progress()
            if left == 0:
                break
            if self._drained is not None:
                await self._drained
            self.starved = True
        self.starved = False
        if left is None:
            write(b"0\r\n\r\n")
        elif left:
            raise RequestIncomplete(self._origin, f"the request body ended {left} bytes before its declared length")
        self.complete = True
        self._progress()
