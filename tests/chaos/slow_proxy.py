"""TCP proxy in front of Redis that can be made slow."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.support.deployment import eventually


class SlowProxy:
    """Relay of TCP connections to `target`; `to_redis` and `from_redis` are the seconds each piece is held back."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.to_redis = 0.0
        self.from_redis = 0.0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[SlowProxy]:
        """Listen for the time of the context."""
        server = await asyncio.start_server(self._accept, "127.0.0.1")
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            reader_of_target, writer_of_target = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        directions = asyncio.gather(
            self._relay(reader, writer_of_target, "to_redis"), self._relay(reader_of_target, writer, "from_redis")
        )
        with contextlib.suppress(asyncio.CancelledError):
            await directions

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        """Relay one direction. Pieces are delayed, not spaced: each leaves that long after it came, and in order."""
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                came, piece = await pieces.get()
                await eventually(lambda due=came: loop.time() >= due + getattr(self, direction))  # type: ignore[misc]
                writer.write(piece)
                if not piece:
                    return

        delivering = asyncio.create_task(deliver())
        try:
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(65_536):
                    pieces.put_nowait((loop.time(), piece))
            pieces.put_nowait((loop.time(), b""))
            await delivering
        finally:
            delivering.cancel()
            writer.close()
