"""Why a gateway that lives may have dropped a request, as far as the request and the traffic beside it show.

A gateway drops the connection for many faults of one request, and for plain overload (gateway contract section 10). It
never says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from config.workloads import Workload
from middlewares.exchange import Exchange

SERVED_SECONDS = 600.0
"""How long a model that a gateway has served counts as known to it."""
MOST_SERVED = 4096
"""Served models that are remembered; past it all are forgotten."""

Key = tuple[str, Workload, str]
"""Gateway, workload and model."""


class DropReason(Enum):
    """The likely cause of a drop."""

    UNKNOWN = auto()
    UNKNOWN_MODEL = auto()
    """The configuration names the workload's models, this is none of them, and nothing of it was served or runs."""
    UNDECODABLE_IMAGE = auto()
    """The header of the uploaded image is of no format that can be read."""
    OVERLOAD = auto()
    """The gateway has served the model lately, and is working for other requests of it."""


class DropReasons:
    """Tells drops apart by what one worker has seen. `models` are those that the configuration names, by workload."""

    def __init__(self, models: Mapping[Workload, frozenset[str]]) -> None:
        self._models = models
        self._in_flight: dict[Key, int] = {}
        self._served: dict[Key, float] = {}

    def begin(self, key: Key) -> None:
        """Count a request that is sent to a gateway from now on."""
        self._in_flight[key] = self._in_flight.get(key, 0) + 1

    def end(self, key: Key) -> None:
        """Count the end of a request that `begin` has counted."""
        left = self._in_flight.get(key, 0) - 1
        if left > 0:
            self._in_flight[key] = left
        else:
            self._in_flight.pop(key, None)

    def record_served(self, key: Key, now: float) -> None:
        """Record that the gateway has begun a successful response."""
        if len(self._served) >= MOST_SERVED and key not in self._served:
            self._served.clear()
        self._served[key] = now

    def reason(self, exchange: Exchange, key: Key, now: float) -> DropReason:
        """Return why a request of `key`, still counted as in flight, was likely dropped. `now` is monotonic."""
        if exchange.undecodable_image():
            return DropReason.UNDECODABLE_IMAGE
        _, workload, model = key
        others = self._in_flight.get(key, 0) > 1
        served = now - self._served.get(key, -SERVED_SECONDS) < SERVED_SECONDS
        if served:
            return DropReason.OVERLOAD if model and others else DropReason.UNKNOWN
        named = self._models.get(workload)
        if model and named and model not in named and not others:
            return DropReason.UNKNOWN_MODEL
        return DropReason.UNKNOWN
