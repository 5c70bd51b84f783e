"""What the ledger asks of a store, and the ways a store can fail it.

The ledger sees only this file; `proxy.store` implements it. So the stages stay free of sockets and topologies.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

Argument = str | bytes | int
"""One word of a command."""


class SharedArguments(tuple[Argument, ...]):
    """Words that many calls have in common."""

    wire: tuple[bytes, ...] = ()
    """What the store has made of them for the wire; its own business."""


NOTHING = SharedArguments()


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua script: its `name` for people, its `source`, and the `sha` (40 hex digits) by which Redis knows it.

    `writes` is False for a script that only reads: a server that refuses all writes still serves it.
    """

    name: str
    source: bytes = field(repr=False)
    writes: bool = True
    sha: bytes = field(init=False, repr=False)
    write: str = field(init=False, repr=False)
    """Its name if it writes, else empty."""

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest.encode())
        object.__setattr__(self, "write", self.name if self.writes else "")


class Call(msgspec.Struct, frozen=True):
    """One call of a script. `run` takes the same as plain `all_keys` and `all_args`."""

    script: Script
    keys: Sequence[Argument]
    args: Sequence[Argument]
    common_keys: SharedArguments = NOTHING
    """KEYS before `keys` that many calls have in common."""
    common_args: SharedArguments = NOTHING
    """ARGV behind `args`, likewise."""

    @property
    def all_keys(self) -> list[Argument]:
        """KEYS."""
        return [*self.common_keys, *self.keys]

    @property
    def all_args(self) -> list[Argument]:
        """ARGV."""
        return [*self.args, *self.common_args]


class Receiver(Protocol):
    """Waits for a reply: a future, or whatever is quicker than one. It must not raise."""

    def done(self) -> bool:
        """Whether it waits no more."""
        ...

    def set_result(self, reply: Any, /) -> None:
        """Take the reply."""
        ...

    def set_exception(self, error: "StoreError", /) -> None:
        """Take the error that is there in place of one."""
        ...


class ScriptRunner(Protocol):
    """Runs scripts in the store, each atomically and at most once per call."""

    async def run(
        self,
        script: Script,
        keys: Sequence[Argument],
        args: Sequence[Argument],
        *,
        deadline: float | None = None,
    ) -> Any:
        """Return the script's reply: bytes, int, None, or lists of these, as RESP2 carries them.

        All `keys` share one hash tag; on Redis Cluster the node follows from `keys[0]`. `deadline` is in seconds from
        now and bounds the whole call; None takes the runner's default.

        Raises `StoreUnavailable` when the store cannot serve now, `StoreRejected` when it refuses the call itself.
        """
        ...

    def begin(self, call: Call, receiver: Receiver, deadline: float) -> bool:
        """Begin a call for `receiver`, where that takes neither waiting nor a decision.

        False where it does, or where the store is troubled: then `run` knows what to do, as it does after an error
        that is `StoreDeferred`.
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
