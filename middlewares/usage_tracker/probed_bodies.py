"""The bodies of one request that FFmpeg measures: copied as they pass, measured once whole, awaited at the end."""

from __future__ import annotations

import asyncio

from middlewares.usage_tracker.media_probe import MediaKind, MediaMeasure, MediaProbe, MediaTools, Spool, Verdict

NOT_MEASURED = MediaMeasure(Verdict.NOT_MEASURED)


class ProbedBody:
    """One body: an upload, or a rendition in a response."""

    __slots__ = ("_kind", "_probe", "_spool", "_task", "size")

    def __init__(self, kind: MediaKind, probe: MediaProbe | None, spool: Spool | None) -> None:
        """Without `probe` and `spool` its bytes are counted and nothing else."""
        self._kind = kind
        self._probe = probe
        self._spool = spool
        self._task: asyncio.Task[MediaMeasure] | None = None
        self.size = 0
        """Bytes so far."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size += len(data)
        if self._spool is not None:
            self._spool.write(data)

    def end(self) -> None:
        """Begin to measure it, once: its last byte has passed."""
        if self._probe is not None and self._spool is not None and self.size and self._task is None:
            self._task = asyncio.ensure_future(self._probe.measure(self._kind, self._spool))
            self._task.add_done_callback(lambda _: self.close())  # the copy is of no more use

    @property
    def measuring(self) -> bool:
        """True while a measurement is under way."""
        return self._task is not None and not self._task.done()

    @property
    def measure(self) -> MediaMeasure:
        """What it holds, as far as that is known by now."""
        task = self._task
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return NOT_MEASURED
        return task.result()

    async def measured(self) -> None:
        """Wait for the measurement, if one has begun."""
        if self._task is not None:
            await self._task

    def close(self) -> None:
        """Give up what is not needed any more: the measurement, and the copy."""
        if self._task is not None:
            self._task.cancel()
        if self._spool is not None:
            self._spool.close()


class ProbedBodies:
    """All of them; opened by the request's meter, awaited and closed by the stage."""

    __slots__ = ("_bodies", "_tools")

    def __init__(self, tools: MediaTools | None) -> None:
        """Without `tools` nothing is measured."""
        self._tools = tools
        self._bodies: list[ProbedBody] = []

    def open(self, kind: MediaKind) -> ProbedBody:
        """Return an empty body."""
        tools = self._tools
        body = ProbedBody(kind, tools.probe, tools.spools.open()) if tools else ProbedBody(kind, None, None)
        self._bodies.append(body)
        return body

    @property
    def measuring(self) -> bool:
        """True while a measurement is under way."""
        return any(body.measuring for body in self._bodies)

    async def measured(self) -> None:
        """Wait for the measurements that have begun."""
        for body in self._bodies:
            await body.measured()

    def close(self) -> None:
        """Give up whatever is not done, and free every copy."""
        for body in self._bodies:
            body.close()
