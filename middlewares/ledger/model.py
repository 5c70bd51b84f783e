"""What stages and ledger exchange: usage, limits and how they stand, holds, settlements, decisions.

None of these can be part of a reference cycle, so the garbage collector need not look at them (`gc=False`).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from config.workloads import Unit, Workload


class Provenance(StrEnum):
    """The source of a number in a usage event."""

    MEASURED = "measured"
    """Read by Tollgate from the bytes that passed."""
    UPSTREAM = "upstream"
    """Reported by the gateway's response."""
    DECLARED = "declared"
    """Stated by the client's request or by the plan."""
    ESTIMATED = "estimated"
    """Computed by Tollgate for want of anything better."""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """The units that a request has used, as its meter saw them."""

    units: dict[Unit, int] = {}
    provenance: dict[Unit, Provenance] = {}
    complete: bool = True
    """False: the response ended before the workload says it is whole, or is a success in status only."""
    finish_reason: str = ""
    attention: bool = False
    """True: a person should look at it, because the gateway reported more than the request allows."""
    network: dict[Unit, int] = {}
    """Units that the gateway counts otherwise when it pays orchestrators, as by what a container claims."""


class LimitSpec(msgspec.Struct, gc=False):
    """One limit as the operator declared it, the same for each request."""

    policy: str
    """Stable name, `<scope>-<rule>`, for example `app-requests-per-minute`."""
    unit: str
    """`requests`, `concurrent-requests`, or a sale unit."""
    limit: int
    window_seconds: int | None
    """None: not a window (concurrency, caps, balance)."""
    shadow: bool = False
    advertised: str | None = None
    """How clients are advertised of it; the response stage's own business."""


class LimitState(msgspec.Struct, frozen=True, gc=False):
    """One limit as it stands for a request."""

    limit_spec: LimitSpec
    remaining: int
    reset_seconds: int
    """Seconds until something of it is free again; 0: unknown."""

    @property
    def policy(self) -> str:
        """Name of the limit."""
        return self.limit_spec.policy


class HoldEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The reservation of one rule for a hold, so that settlement can give it back and count what was used.

    Amounts are strings: JSON numbers are doubles.
    """

    kind: str
    """As in `lua/settle.lua`: c lease, d m t unit cap, b balance, a allowance, i claim to an idempotency key."""
    keys: tuple[str, ...]
    held: str = "0"
    """Amount or units that are reserved, what an allowance includes, or how many claims of the app are kept."""
    unit: str = ""
    """Sale unit that is counted; empty for a lease and a claim."""
    per: str = ""
    """Period of an allowance, d or m; for how many milliseconds a claim is kept."""
    price: str = ""
    """Price past an allowance, `<amount> <counted units>`."""


class Hold(msgspec.Struct, omit_defaults=True, gc=False):
    """An admitted request until it is settled: who it is accounted to, and what is reserved for it.

    It is kept in Redis as JSON, so that a reaper can end it when its owner died.
    """

    request_id: str
    app: str
    user: str | None
    key: str | None
    plan: str
    """Plan name and version, `<name>@<version>`."""
    workload: Workload
    model: str
    started_ms: int
    """Redis time of admission, Unix milliseconds, as the admitting worker knew it."""
    estimate: str = "0"
    """Reserved amount in atomic units."""
    fixed: str = ""
    """The part of it that no allowance can change; empty: all of it."""
    units: dict[Unit, int] = {}
    """Upper bound of what it can use, as far as known."""
    on_orphan: str = "refund"
    entries: tuple[HoldEntry, ...] = ()
    local: bool = False
    """Admitted by a worker alone while Redis was away: it holds nothing there."""
    shared: bool = False
    """Admitted by a worker alone, from its share of the limits: it stands in its write-ahead log and not in Redis.

    The hold of the places and amounts that such a share has is in Redis, and has `entry`, too."""
    share: str = ""
    """Id of the share in which its amounts are reserved; empty: it reserves none, or by itself."""
    fallback: str = ""
    """Policy of the limit that would have refused it, had its plan no fallback; empty: none did."""
    requested_model: str = ""
    """The requested model, where a fallback has put another one in its place."""
    part: int = 0
    """Number of the tick of a live session that ends it, from 1; 0: a request. A tick's expires without an event."""
    stream: str = ""
    """Stream id at the gateway, of such a session; empty: a request, or a session of an earlier version."""
    entry: bool = False
    """True: it has the concurrency leases of a request whose body is read after it. It ends without an event."""

    @property
    def has_claim(self) -> bool:
        """True if it ends the claim to an idempotency key."""
        return any(entry.kind == "i" for entry in self.entries)

    @property
    def silent(self) -> bool:
        """True if it expires without an event, because another hold of its request or session has that."""
        return self.entry or self.part > 0


ENTRY_SUFFIX = "-entry"
"""What follows the request's id in the id of the hold that its entry opens."""


def leases_of(hold: Hold) -> tuple[str, ...]:
    """Return the keys of the concurrency leases that a hold has."""
    return tuple(entry.keys[0] for entry in hold.entries if entry.kind == "c")


NO_EVENT = msgspec.Raw(b"null")


class Settlement(msgspec.Struct, omit_defaults=True, gc=False):
    """The end of one request, complete enough to be written again from a journal."""

    hold: Hold
    event: msgspec.Raw
    """The usage event without its amount (JSON); null: the request was never forwarded, only give back."""
    time_ms: int
    """Redis time of the end, Unix milliseconds."""
    units: dict[Unit, int] = {}
    amount: str = "0"
    """Price of the units before allowances."""
    work_done: bool = False
    """True if something was charged or may be, so that its idempotency key stands for this request from now on."""
    attempted_ms: int = 0
    """When it was first sent to Redis without a reply; 0: never, so that finding no hold is not ambiguous."""
    refused: bool = False
    """True once Redis has refused it for good: it is kept for a person, and written by nobody else."""

    @property
    def forwarded(self) -> bool:
        """True if the gateway was sent the request, so that there is something to count."""
        return self.event != NO_EVENT


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """The request may pass."""

    hold: Hold
    limit_states: tuple[LimitState, ...]
    shadow_refusals: tuple[str, ...] = ()
    """Policies in shadow mode that would have refused it."""


class Denied(msgspec.Struct, frozen=True, gc=False):
    """The request may not pass: the first limit that refuses it, as it stands."""

    limit_state: LimitState
    code: str
    """`rate_limited`, `concurrency_limited`, `plan_limit`, `key_limit` or `insufficient_balance`."""
    hold: Hold | None = None
    """The hold that was not opened, `local` where Redis was away; None: not known."""
    requested: int = 0
    """What that hold would have reserved of the limit, in its unit, rounded up; 0: nothing, or not known."""


class ClaimLost(Exception):
    """The idempotency key of the request is claimed by another one, as this one took too long to be admitted."""


class LedgerUnavailable(Exception):
    """Redis is away and the plan does not allow a guess: refuse the request, the client may come back."""
