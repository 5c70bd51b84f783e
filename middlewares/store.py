"""The port to Redis: what the stages ask of a store, and the ways a store can fail them.

The stages see only this file; `proxy.store` implements it. So they stay free of sockets and topologies.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

Argument = str | bytes | int
"""One argument of a Redis command."""


class SharedArguments(tuple[Argument, ...]):
    """Arguments that many calls have in common, so that the store encodes them once.

    Spares 5 of the 18 microseconds that admission and settlement of a small request take in the worker beside Redis.
    """

    encoded: tuple[bytes, ...] = ()
    """Written by the store alone: these arguments as RESP, once a call has needed them."""


NO_SHARED_ARGUMENTS = SharedArguments()


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
    """One call of a script. All of its keys share one hash tag; on Redis Cluster the first key names the node."""

    script: Script
    keys: Sequence[Argument] = ()
    args: Sequence[Argument] = ()
    common_keys: SharedArguments = NO_SHARED_ARGUMENTS
    """KEYS before `keys` that many calls have in common."""
    common_args: SharedArguments = NO_SHARED_ARGUMENTS
    """ARGV behind `args`, likewise."""

    @property
    def all_keys(self) -> list[Argument]:
        """KEYS."""
        return [*self.common_keys, *self.keys]

    @property
    def all_args(self) -> list[Argument]:
        """ARGV."""
        return [*self.args, *self.common_args]


class ScriptRunner(Protocol):
    """Runs scripts in the store, each atomically and at most once per call."""

    def run(self, call: Call, *, deadline: float | None = None) -> asyncio.Future[Any]:
        """Begin a call at once, and return the future of its reply, whether anybody awaits it or not.

        The reply is bytes, int, None, or lists of these, as RESP2 carries them. `deadline` is in seconds from now and
        bounds the whole call with every redirection it takes; None takes the runner's own. The future raises
        `StoreUnavailable` where the store cannot serve now, `StoreRejected` where it refuses the call. Once it is
        cancelled the reply is dropped, but the script may have run.
        """
        ...


class StoreError(Exception):
    """A call that did not return a reply.

    `may_have_run` is False when the script certainly changed nothing, True when its fate is unknown: it was sent, and
    no reply came in time.
    """

    def __init__(self, message: str, *, may_have_run: bool = False) -> None:
        super().__init__(message)
        self.may_have_run = may_have_run


class StoreUnavailable(StoreError):
    """The store cannot serve now: unreachable, restarting, cut off, or held back by the open circuit breaker."""


class StoreTimeout(StoreUnavailable):
    """No reply within the call's deadline."""


class StoreReadOnly(StoreUnavailable):
    """The node is a replica (`-READONLY`), as a demoted master is during a failover."""


class StoreOutOfMemory(StoreUnavailable):
    """The node is at its `maxmemory` (`-OOM`) and takes no writes."""


class StoreLoading(StoreUnavailable):
    """The node is still loading its data set (`-LOADING`)."""


class StoreRejected(StoreError):
    """The store replied and refuses this call whenever it comes: a script's fault, a wrong type, missing rights."""
