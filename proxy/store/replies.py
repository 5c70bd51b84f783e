"""Turns error replies of Redis into the errors that the ledger and the topologies act on.

`NoScript`, `Redirected` and `TryAgain` are dealt with inside `proxy.store`: no caller of the store sees them.
"""

import re

from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from middlewares.store import (
    StoreError,
    StoreLoading,
    StoreOutOfMemory,
    StoreReadOnly,
    StoreRejected,
    StoreUnavailable,
)
from proxy.store.address import Endpoint


class NoScript(StoreError):
    """`-NOSCRIPT`: the node does not know the script, so nothing ran."""


class Redirected(StoreError):
    """`-MOVED` and `-ASK`: another node serves `slot`, so nothing ran here.

    An ASK holds for this call only (the slot is on its way to `endpoint`), a MOVED from now on. A host that the node
    does not know is empty and means the host that sent the reply. Raises `ValueError` for what is no slot or port.
    """

    def __init__(self, message: str, kind: str, slot: str, endpoint: str) -> None:
        super().__init__(message)
        host, _, port = endpoint.rpartition(":")
        self.ask = kind == "ASK"
        self.slot = int(slot)
        self.endpoint = Endpoint(host, int(port))
        if not 0 <= self.slot < REDIS_CLUSTER_HASH_SLOTS:
            raise ValueError


class TryAgain(StoreError):
    """`-TRYAGAIN`: the keys of one call are on both sides of a slot migration for a moment, so nothing ran."""


_BY_CODE: dict[str, type[StoreError]] = {
    "NOSCRIPT": NoScript,
    "MOVED": Redirected,
    "ASK": Redirected,
    "TRYAGAIN": TryAgain,
    "READONLY": StoreReadOnly,
    "OOM": StoreOutOfMemory,
    "LOADING": StoreLoading,
    "MASTERDOWN": StoreUnavailable,
    "CLUSTERDOWN": StoreUnavailable,
    "NOREPLICAS": StoreUnavailable,
    "MISCONF": StoreUnavailable,
    "BUSY": StoreUnavailable,
}

# Before version 7 a command refused within a script arrives wrapped: "ERR Error running script (...): ... -OOM ...".
_WITHIN_SCRIPT = re.compile(r"^ERR Error running script .*?: -(?P<line>[A-Z]+ .*)$", re.DOTALL)


def error_from(node: str, line: str) -> StoreError:
    """Return the error for one RESP error line (without its leading `-`) that came from `node`.

    The refusals that a busy, full or demoted node gives leave the data untouched: Redis decides them before a script's
    first write and not again after it. Anything else a script raises may follow writes of its own.
    """
    if wrapped := _WITHIN_SCRIPT.match(line):
        line = wrapped["line"]
    message = f"Redis at {node} replied: {line}"
    kind = _BY_CODE.get(line.partition(" ")[0])
    if kind is Redirected:
        try:
            return Redirected(message, *line.split())
        except (TypeError, ValueError):  # to nowhere that can be understood
            return StoreRejected(message)
    return kind(message) if kind else StoreRejected(message, may_have_run=True)
