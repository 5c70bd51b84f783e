"""A row of the route table, and what must hold for all rows together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import get_type_hints

from config.workloads import Workload
from middlewares.routing.traits import AnsweredBy, Body, Creates, Dialect, Hints, Links, Measure, Names, StreamStep


class RouteTableError(Exception):
    """A row of the route table is incomplete or contradicts another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One client route of the gateway that may be reached through Tollgate. No trait has a default."""

    name: str
    """Bounded label for logs and metrics."""
    workload: Workload
    methods: str
    """HTTP methods, separated by blanks."""
    paths: tuple[str, ...]
    """Paths of clients. `{name}` stands for 1-200 letters, digits, `.`, `_`, `-`; `{path}` for anything, `{any}` and
    `{file}` also for nothing."""
    body: Body
    meter: Measure
    dialect: Dialect
    answered_by: AnsweredBy
    target: bytes | None
    """Path at the gateway where it is not the client's own."""
    begins_work: bool
    """True if the route starts billable work; such a request names a model, which a credential may be limited to."""
    takes_slot: bool
    """True if a request counts against the limit of concurrent requests; False if it serves a stream that does."""
    outlives_client: bool
    """True if the gateway does the work once it has the whole body, whether its client waits or not."""
    reads_response: bool
    """True if a meter reads the response, which is therefore requested without an encoding."""
    detachable: bool
    """True if a client may request by `Prefer: respond-async` that the gateway does the work detached."""
    names: Names
    creates: Creates
    links: Links
    hints: Hints
    stream: StreamStep
    allow: bytes = field(init=False)
    """The methods, as the value of `Allow`."""
    method_set: frozenset[str] = field(init=False)
    falls_back: bool = field(init=False)
    """True if a request over a limit may be served by a fallback of its plan: it starts billable work that ends by
    itself, and belongs to no resource that one gateway has."""
    repeatable: bool = field(init=False)
    """True if a POST may carry an `Idempotency-Key`: it starts billable work, and its response is good for any
    connection, which that to the offer of a live stream is not."""

    def __post_init__(self) -> None:
        for trait, kind in _typed_traits().items():
            if not isinstance(getattr(self, trait), kind):
                raise RouteTableError(f"route {self.name}: `{trait}` must be a {kind.__name__}")
        methods = self.methods.split()
        object.__setattr__(self, "allow", ", ".join(methods).encode())
        object.__setattr__(self, "method_set", frozenset(methods))
        ends = self.stream is StreamStep.NONE and self.names is Names.NOTHING
        object.__setattr__(self, "falls_back", self.begins_work and ends)
        object.__setattr__(self, "repeatable", self.begins_work and self.stream is not StreamStep.OFFER)


def _typed_traits() -> dict[str, type]:
    """Return the traits that have one plain type; the others are paths."""
    hints = get_type_hints(Route)
    return {each.name: hints[each.name] for each in fields(Route) if each.init and isinstance(hints[each.name], type)}


def check(routes: Iterable[Route]) -> None:
    """Raise `RouteTableError` where two rows have a name or a path in common, or the traits of one do not agree."""
    rows = list(routes)
    for kind, words in (("name", [row.name for row in rows]), ("path", [path for row in rows for path in row.paths])):
        if repeated := [word for word, count in Counter(words).items() if count > 1]:
            raise RouteTableError(f"two routes have the {kind} {repeated[0]}")
    for row in rows:
        if row.begins_work and row.meter is Measure.REQUESTS:
            raise RouteTableError(f"route {row.name} begins work, but nothing measures it")
        if row.creates is Creates.NAMED and row.names is Names.NOTHING:
            raise RouteTableError(f"route {row.name} creates what it does not name")
        if (row.hints is Hints.JOB) is not (row.body is Body.JOB):
            raise RouteTableError(f"route {row.name} takes hints in a job that it does not read, or the reverse")
