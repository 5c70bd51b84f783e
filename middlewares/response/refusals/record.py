"""The record of one refusal: everything that the request knew when it was refused, bounded, and without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import msgspec

from config.workloads import Unit, Workload
from middlewares.exchange import CredentialOwner, Exchange, Refusal
from middlewares.ledger.model import Denied, LimitState
from middlewares.response.redaction import mask

TEXT_CHARACTERS = 300
"""Most characters of a text that a client may have had a part in."""

STAGES = frozenset(("edge", "auth", "live", "rate_limit", "usage_tracker", "tenancy", "tier_routing"))
FORWARDER = "forwarder"


class RefusalLimit(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One limit as it stood at the refusal. Numbers are decimal strings: money does not fit into those of JSON."""

    policy: str
    unit: str
    limit: str
    remaining: str
    reset_seconds: int
    window_seconds: int | None = None
    requested: str = "0"
    """What the request would have reserved of it."""
    refused: bool = False
    """True: it is the one that refuses."""


class RefusalRecord(msgspec.Struct, omit_defaults=True):
    """One refused request of a known app."""

    id: str
    """The request id."""
    time: int
    """When it was refused, Redis time in Unix milliseconds, as its worker knew it."""
    app: str
    user: str | None
    key: str | None
    plan: str
    """Name and version of the plan; empty where auth refused it before it knew."""
    stage: str
    """The stage of the pipeline that refused it, `forwarder`, or `control` for another proxy."""
    code: str
    status: int
    detail: str
    method: str = ""
    route: str = ""
    workload: Workload | None = None
    model: str = ""
    limits: tuple[RefusalLimit, ...] = ()
    estimate: str = "0"
    """Price that was or would have been reserved, in atomic units."""
    units: Mapping[Unit, int] = {}
    """Upper bound of what it could use, as far as known."""
    admitted: bool = False
    """True: its hold was opened, and a stage behind the limits refused it."""
    forwarded: bool = False
    """True: a gateway may have seen it, so that it has an event."""
    tier: str = ""
    pool: str = ""
    failed_attempts: tuple[tuple[str, str], ...] = ()
    """Gateways that failed it, in order: origin, and code of the failure."""

    @property
    def rule(self) -> str:
        """Return what refused it: the policy of a limit, else the code."""
        return next((each.policy for each in self.limits if each.refused), self.code)


DECODER = msgspec.json.Decoder(RefusalRecord)


def rule_of(exchange: Exchange, refusal: Refusal) -> str:
    """Return what `RefusalRecord.rule` will be."""
    return exchange.denied.limit_state.policy if exchange.denied else refusal.code


def owner_of(exchange: Exchange) -> CredentialOwner | None:
    """Return the app, user and key that a refusal is recorded for; None: nobody is known."""
    principal = exchange.principal
    return exchange.owner if principal is None else CredentialOwner(principal.app, principal.user, principal.key)


def record_of(exchange: Exchange, refusal: Refusal, owner: CredentialOwner, now: int) -> RefusalRecord:
    """Return the record of a request that is refused `now` (Redis time, Unix milliseconds)."""
    principal, route, hold = exchange.principal, exchange.route, exchange.hold
    asked = hold or (exchange.denied and exchange.denied.hold)
    model = exchange.declared.model or ""
    return RefusalRecord(
        id=exchange.request_id,
        time=now,
        app=owner.app,
        user=owner.user,
        key=owner.key,
        plan=f"{principal.plan_name}@{principal.plan.version}" if principal else "",
        stage="control" if exchange.surface else stage_of(refusal.__traceback__),
        code=refusal.code,
        status=refusal.status,
        detail=mask(refusal.detail)[:TEXT_CHARACTERS],
        method=exchange.method,
        route=route.name if route else exchange.surface,
        workload=route.workload if route else None,
        model=mask(model)[:TEXT_CHARACTERS],
        limits=_limits(exchange.limit_states, exchange.denied),
        estimate=asked.estimate if asked else "0",
        units=asked.units if asked else {},
        admitted=hold is not None,
        forwarded=exchange.forwarded,
        tier=exchange.tier,
        pool=exchange.pool,
        failed_attempts=exchange.failed_attempts,
    )


def stage_of(traceback: TracebackType | None) -> str:
    """Return the stage in whose code a refusal was raised: the innermost one; empty where it was raised by none.

    It is read off the traceback, so that a request that passes pays nothing for where it is.
    """
    found = ""
    while traceback is not None:
        floor, _, rest = traceback.tb_frame.f_globals["__name__"].partition(".")
        room = rest.partition(".")[0]
        if floor == "middlewares" and room in STAGES:
            found = room
        elif floor == "proxy" and room == "forwarding":
            found = FORWARDER
        traceback = traceback.tb_next
    return found


def _limits(states: tuple[LimitState, ...], denied: Denied | None) -> tuple[RefusalLimit, ...]:
    refusing = denied and denied.limit_state
    return tuple(
        RefusalLimit(
            policy=state.policy,
            unit=state.limit_spec.unit,
            limit=str(state.limit_spec.limit),
            remaining=str(state.remaining),
            reset_seconds=state.reset_seconds,
            window_seconds=state.limit_spec.window_seconds,
            requested=str(denied.requested) if denied and state is refusing else "0",
            refused=state is refusing,
        )
        for state in states
        if not state.limit_spec.shadow
    )
