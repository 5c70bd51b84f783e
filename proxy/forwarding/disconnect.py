"""Clients that go away while their request is forwarded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class ClientGone(Exception):
    """The client went away before its request body was complete."""


class DisconnectCanceller:
    """Cancels the forwarding task when its client goes away, and remembers that this is why.

    `client_optional` returns True once the forwarding can do without its client; None: it never can. The forwarder sets
    `over` when it has finished, from when on nothing is cancelled.
    """

    __slots__ = ("_client_optional", "_task", "happened", "over")

    def __init__(self, task: asyncio.Task[object] | None, client_optional: Callable[[], bool] | None) -> None:
        self._task = task
        self._client_optional = client_optional
        self.happened = False
        self.over = False

    def __call__(self) -> None:
        """Cancel the task because its client has gone."""
        if self.over or self._task is None or (self._client_optional and self._client_optional()):
            return
        self.happened = True
        self._task.cancel()

    def forget(self) -> None:
        """Undo the cancellation once it was dealt with: what follows runs as if there had been none."""
        if self._task is not None:
            self._task.uncancel()
