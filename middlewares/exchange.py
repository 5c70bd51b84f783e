"""The exchange: what one request carries from stage to stage.

The pipeline puts an `Exchange` into the ASGI scope; each stage fills in its own part and reads those of the
stages before it. Nothing about a request lives on a middleware.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from config.fallbacks import Fallback
from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.routing.route import Route
from middlewares.routing.traits import Measure

if TYPE_CHECKING:
    from middlewares.chat_stream import ChatStream
    from middlewares.idempotent_request import IdempotentRequest
    from middlewares.ledger.admission.key_limits import KeyTerms
    from middlewares.ledger.admission.policy import Policy
    from middlewares.ledger.model import Denied, Hold, LimitState

Headers = list[tuple[bytes, bytes]]
"""Headers in order, names in lower case."""


class Outcome(StrEnum):
    """How a request ended."""

    COMPLETE = "complete"
    CLIENT_DISCONNECT = "client_disconnect"
    UPSTREAM_ERROR = "upstream_error"
    REFUSED = "refused"
    """Tollgate ended it: a stage refused it, its body was too large or stopped arriving, its response did not end."""
    GATE_SHUTDOWN = "gate_shutdown"
    """The worker was stopped, and the grace period of its drain was over."""
    INTERNAL_ERROR = "internal_error"
    """A stage raised an unexpected error; the log has its traceback."""
    ORPHANED = "orphaned"
    """The process that served it died; the reaper ended it."""


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How and why a request ended, as log, metrics and settlement read it."""

    outcome: Outcome
    code: str = ""
    """Stable code of what went wrong; empty for a complete request."""
    status: int = 0
    """Status of the refusal that ended it: what a client is sent whose response has not begun; 0: no refusal."""


COMPLETE = Ending(Outcome.COMPLETE)


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of a request, as auth resolved it."""

    app: str
    user: str | None
    key: str | None
    plan_name: str
    plan: Plan
    workloads: frozenset[Workload] | None = None
    """Workloads that the credential is limited to; None: all."""
    models: frozenset[str] | None = None
    """Models that the credential is limited to; None: all."""
    streams: frozenset[str] | None = None
    """Streams that the credential is limited to, as its app calls them; None: all."""
    key_terms: KeyTerms | None = None
    """Limits of its API key; None: the key has none of its own."""


@dataclass(frozen=True, slots=True)
class CredentialOwner:
    """The owner of a credential whose secret or signature is right."""

    app: str
    user: str | None
    key: str | None


class Declaration(msgspec.Struct, frozen=True):
    """What a request declares before it is forwarded. A struct, because one is made for every request."""

    model: str | None = None
    units: Mapping[Unit, int] = msgspec.field(default_factory=dict)
    """Upper bound of the units that it can use, where the request determines one."""
    document: Mapping[str, Any] | None = None
    """The parsed JSON body of a metered route."""


@dataclass(frozen=True, slots=True)
class Job:
    """A BYOC job as its client describes it (gateway contract section 3)."""

    capability: str
    request: str
    """JSON text of an object for the worker."""
    parameters: Mapping[str, Any]
    """Without any choice of orchestrators."""
    timeout_seconds: int


NOTHING_DECLARED = Declaration()


def nothing_undecodable() -> bool:
    """Return False: the `undecodable_image` of requests without an image that is looked at."""
    return False


async def declare_nothing() -> Declaration:
    """Return an empty declaration: the `declare` of routes whose body is not read."""
    return NOTHING_DECLARED


class Affinity(Protocol):
    """The gateway that a request belongs to, because it has the resource that the request names.

    A gateway keeps such resources in the memory of its process (gateway contract section 9.6).
    """

    @property
    def gateway(self) -> str:
        """Origin of the gateway; empty: not chosen yet."""
        ...

    @property
    def movable(self) -> bool:
        """True if the resource is created anew at another gateway where this one is not available."""
        ...

    async def reassign(self, gateways: Sequence[str]) -> str:
        """Return the gateway to use in place of the unavailable `gateway`, which becomes `gateway`.

        A movable resource is assigned one of `gateways`, best first; all workers agree on which.
        """
        ...


class FallbackInUse(msgspec.Struct, frozen=True, gc=False):
    """What serves a request over a limit in place of its refusal."""

    fallback: Fallback
    denied: Denied
    """The limit that would have refused it."""
    model: str = ""
    """The requested model."""


@dataclass(slots=True)
class Exchange:
    """One request from its first byte to its usage event. Times are seconds of `time.monotonic`."""

    request_id: str
    """ULID; sent to the gateway as X-Request-Id, returned to the client, and the id of the usage event."""
    started: float
    method: str
    path: str
    """Percent-decoded path that the client requested."""

    # edge
    route: Route | None = None
    target: bytes = b""
    """Request target for the gateway: raw path and query, reserved parameters removed."""
    headers: Headers = field(default_factory=list)
    """Request headers for the gateway; neither framing nor hop-by-hop nor reserved ones are among them."""
    content_length: int | None = None
    """Declared length of the request body in bytes; None: unknown (chunked)."""
    has_body: bool = False
    include_usage: bool = False
    """True if an OpenAI client wants the usage at the end of its stream."""
    client_address: str = ""
    scheme: str = "http"
    declare: Callable[[], Awaitable[Declaration]] = declare_nothing
    """Reads what the request declares, at most once. May raise `Refusal` (400, 408, 413)."""

    declare_model: Callable[[str], Awaitable[Declaration]] | None = None
    """Declares anew, with another model in place of the requested one, which `declare` has found. May raise `Refusal`
    (400); the request is then as it was. None: no model is named in a way that could be changed."""

    declares_late: bool = False
    """True if `declare` reads a body that is large or of unknown size: the limits are asked before it."""
    buffered: int = 0
    """Bytes of its body that `BodyBuffers` counts."""

    job: Job | None = None
    """The job of a BYOC request, once `declare` has read it."""

    # door
    surface: str = ""
    """Route label of the control surface that serves it; empty: the pipeline does."""
    surface_path: str = ""
    """Where that surface begins."""

    idempotent: IdempotentRequest | None = None
    """What belongs to its `Idempotency-Key`; None: it has none, or its route takes none."""

    # auth
    principal: Principal | None = None
    owner: CredentialOwner | None = None
    """Whose credential it is, where auth knows that and refuses it all the same."""
    page_origin: bytes | None = None
    """Origin of the page that sent it, where its key is limited to origins; empty: not one of those. None: no limit."""

    store_lost: bool = False
    """True if Redis did not reply to a call for this request; it is not waited for again."""

    # rate_limit
    declared: Declaration = NOTHING_DECLARED
    policy: Policy | None = None
    """The compiled rules and prices of the principal."""
    entry: Hold | None = None
    """The place among the concurrent requests that it took before its body was read, where that is a large one."""
    hold: Hold | None = None
    denied: Denied | None = None
    """The limit that refused it."""
    fallback: FallbackInUse | None = None
    limit_states: tuple[LimitState, ...] = ()
    """Limits that apply to this request, after it was admitted; of a refused one, the limit that refused it."""

    # tenancy
    affinity: Affinity | None = None
    """None: any gateway will do."""
    new_stream: str = ""
    """Id at the gateway of the BYOC stream that the request starts."""

    # tier_routing
    tier: str = ""
    pool: str = ""
    gateways: tuple[str, ...] = ()
    """Origins to try, best first; the next one only while nothing was sent to the one before."""

    # forwarder
    gateway: str = ""
    """Origin of the gateway that was sent the request."""
    failed_attempts: tuple[tuple[str, str], ...] = ()
    """Gateways that failed it, in order: origin, and code of the failure."""
    body_passed: bool = False
    """True once the whole request body was taken to be sent to the gateway."""
    forwarded: bool = False
    """True from the moment the gateway may have seen a byte of it: from then on it has exactly one usage event."""
    gateway_status: int = 0
    """Status of the gateway's response; 0: it has not responded. Written by the forwarder alone."""
    relayed: bool = False
    """True once a task of its own has sent the response to its end, which has left by the time the stages go on."""
    upstream_seconds: float | None = None
    """Seconds from the request sent to the head of the gateway's response."""

    # usage_tracker and response
    chat: ChatStream | None = None
    """The event stream with which the gateway responds to a chat, as its meter reads it."""
    undecodable_image: Callable[[], bool] = nothing_undecodable
    """Returns True if an image has passed whose own header cannot be read."""
    client_status: int = 0
    """Status the client was sent; 0: none yet. Written by the response stage alone."""
    units: Mapping[Unit, int] = field(default_factory=dict)
    amount: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    ending: Ending = COMPLETE
    """How the request ended: complete as long as `end` has not been told otherwise."""

    @property
    def outlives_client(self) -> bool:
        """True if the gateway's work goes on when its client has left.

        For its route says so; or it may be repeated, and costs the same either way: the next attempt gets the response.
        """
        route = self.route
        if route is None or self.idempotent is None:
            return route is not None and route.outlives_client
        return route.outlives_client or (
            route.meter not in (Measure.WALL_TIME, Measure.STREAM_TIME)
            and (self.declared.document or {}).get("stream") is not True
        )

    def end(self, outcome: Outcome, code: str = "", status: int = 0) -> None:
        """Record how the request ended. The first caller wins: it was nearest to what happened.

        `status` is that of the refusal that ended it, if one did.
        """
        if self.ending is COMPLETE:
            self.ending = Ending(outcome, code, status)


class Refusal(Exception):
    """The request ends here with a problem document (RFC 9457); the response stage writes it.

    `code` is stable and machine-readable. `members` join the document, `headers` the response. `close` ends the
    client's connection after the response: for requests whose framing cannot be trusted or was not read to its end.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Headers | None = None,
        members: Mapping[str, Any] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or []
        self.members = members or {}
        self.close = close
