"""What the ledger asks of a store, and the ways a store can fail it.

The ledger sees only this file; `proxy.store` implements it. So the stages stay free of sockets and topologies.
"""

import hashlib
from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Word = str | bytes | int
"""One word of a command."""


class Constant(tuple[Word, ...]):
    """Words that many calls have in common."""

    wire = b""
    """What the store has made of them for the wire; its own business."""


NOTHING = Constant()


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua script: its `name` for people, its `source`, and the `sha` (40 hex digits) by which Redis knows it.

    `writes` is False for a script that only reads: a server that refuses all writes still serves it.
    """

    name: str
    source: bytes = field(repr=False)
    writes: bool = True
    sha: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest.encode())


class ScriptRunner(Protocol):
    """Runs scripts in the store, each atomically and at most once per call."""

    async def run(
        self,
        script: Script,
        keys: Sequence[Word],
        args: Sequence[Word],
        *,
        deadline: float | None = None,
    ) -> Any:
        """Return the script's reply: bytes, int, None, or lists of these, as RESP2 carries them.

        All `keys` share one hash tag; on Redis Cluster the node follows from `keys[0]`. `deadline` is in seconds from
        now and bounds the whole call; None takes the runner's default.

        Raises `StoreUnavailable` when the store cannot serve now, `StoreRejected` when it refuses the call itself.
        """
        ...

    def begin(
        self,
        script: Script,
        keys: Sequence[Word],
        args: Sequence[Word],
        constant: Constant = NOTHING,
        *,
        deadline: float,
    ) -> "Future[Any] | None":
        """Begin the call `run(script, keys, [*args, *constant])`, where that takes neither waiting nor a decision.

        None where it does, or where the store is troubled: then `run` knows what to do, as it does after a reply that
        is `StoreDeferred`.
        """
        ...


class StoreError(Exception):
    """A call that did not return a reply.

    `may_have_run` is False when the script certainly changed nothing, True when its fate is unknown: it was sent, and
    no answer came in time.
    """

    def __init__(self, message: str, *, may_have_run: bool = False) -> None:
        super().__init__(message)
        self.may_have_run = may_have_run


class StoreUnavailable(StoreError):
    """The store cannot serve now: unreachable, restarting, cut off, or held back by the open circuit breaker."""


class StoreTimeout(StoreUnavailable):
    """No answer within the call's deadline."""


class StoreReadOnly(StoreUnavailable):
    """The node is a replica (`-READONLY`), as a demoted master is during a failover."""


class StoreOutOfMemory(StoreUnavailable):
    """The node is at its `maxmemory` (`-OOM`) and takes no writes."""


class StoreLoading(StoreUnavailable):
    """The node is still loading its data set (`-LOADING`)."""


class StoreDeferred(StoreError):
    """Nothing ran yet: the node does not know the script, or another one serves the keys. `run` deals with that."""


class StoreRejected(StoreError):
    """The store answered and refuses this call whenever it comes: a script's fault, a wrong type, missing rights."""
