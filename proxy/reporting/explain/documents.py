"""The document that explains one request. Amounts are decimal strings of the currency's atomic unit."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from config.workloads import Unit, Workload
from proxy.reporting.tables import Amount, CurrencyView

Count = str


class ExplainedLimit(BaseModel):
    """One limit as it stood when the request was refused. Numbers are decimal strings, in the unit of the limit."""

    policy: str
    unit: str
    limit: Count
    used: Count
    remaining: Count
    requested: Count = Field(description="What the request would have reserved of it; 0: nothing, or it counts none.")
    reset_seconds: int = Field(description="Seconds until something of it is free again; 0: not known.")
    window_seconds: int | None = Field(description="null: it is no window.")


class ExplainedRefusal(BaseModel):
    """Who refused the request, and by which rule."""

    time: datetime
    stage: str = Field(description="Stage of the pipeline, `forwarder`, or `control` for another proxy.")
    code: str
    title: str
    status: int
    detail: str = Field(description="What the client was sent.")
    rule: ExplainedLimit | None = Field(description="The limit that refused it; null: it was no limit.")
    others: list[ExplainedLimit] = Field(description="Other limits at that moment, where they had admitted it.")
    unrecorded: int = Field(description="Refusals of the app by the same rule that were counted only, lately.")


class TriedGateway(BaseModel):
    """One gateway that was tried, and what it said."""

    number: int = Field(description="From 1, in order.")
    gateway: str | None = Field(description="Its origin, for operators alone.")
    code: str = Field(description="How it failed; empty: it responded.")
    status: int = Field(description="Status of its response; 0: none.")


class ExplainedHold(BaseModel):
    """What was reserved for the request."""

    state: Literal["refused", "open", "returned", "settled"] = Field(
        description="`refused`: it was not opened. `open`: the request runs, or its end is not written yet. "
        "`returned`: the request never reached a gateway. `settled`: its end took the place of the hold."
    )
    amount: Amount
    units: dict[Unit, int] = Field(description="Upper bound of what it could use; empty: not known, or not any more.")
    expires: datetime | None = Field(description="When an open hold expires, unless it is renewed.")


class PricedLine(BaseModel):
    """One line of a price. The lines of an event add up to its amount."""

    what: str = Field(
        description="The unit that is sold; or `hold`: what was reserved is charged; `hold returned`; `included`: paid "
        "by an allowance; `decision` of an operator; `bounds`: the plan's default or ceiling of holds."
    )
    quantity: Count | None = Field(description="Counted units: milliseconds for time. null: it has none.")
    price: Amount | None
    per: Count | None = Field(description="Counted units that `price` buys.")
    amount: Amount = Field(description="Rounded up to the atomic unit; negative: taken off.")


class ExplainedEvent(BaseModel):
    """One event of the ledger: of the request, of a tick of its stream, or an adjustment of it."""

    id: str
    type: Literal["usage", "adjustment", "credit"]
    part: int = Field(description="Number of the tick of a stream, from 1; 0: no tick.")
    started: datetime
    time: datetime = Field(description="When it ended.")
    plan: str = Field(description="Name and version of the plan that priced it.")
    plan_known: bool = Field(description="False: nobody knows that version any more, so that there are no lines.")
    outcome: str
    status: int
    gateway_status: int
    error: str
    duration_ms: int
    fallback: str = Field(description="Policy of the limit in whose stead a fallback served it; empty: none did.")
    requested_model: str = Field(description="Where a fallback has put another one in its place; else empty.")
    units: dict[Unit, int]
    provenance: dict[Unit, str]
    lines: list[PricedLine]
    amount: Amount
    wallet: str = Field(description="Wallet that it changed, `app` or `user`; empty: none.")


class ExplainedDecision(BaseModel):
    """What an operator decided about the event."""

    decision: str
    amount: Amount = Field(description="What it added to the charge.")


class ExplainedSettlement(BaseModel):
    """What the ledger holds of the request."""

    charged: Amount = Field(description="The sum of its events.")
    agrees: bool | None = Field(
        description="True: the lines of each event add up to its amount. null: a version of a plan is not known."
    )
    event_count: int
    events: list[ExplainedEvent] = Field(description="Of a stream only the last ones, and the requested one.")
    decision: ExplainedDecision | None


class Explanation(BaseModel):
    """Everything that is known of one request, stream, or change of credits."""

    id: str = Field(description="The requested id.")
    request_id: str = Field(description="Id of the request or stream that it belongs to.")
    state: Literal["refused", "running", "settled"]
    app: str
    user: str | None
    key: str | None
    plan: str = Field(description="Name and version; empty: it was refused before its plan was known.")
    method: str = Field(description="As `route`, known of refusals alone.")
    route: str
    workload: Workload | None
    model: str
    tier: str
    pool: str | None = Field(description="For operators alone, where it is known.")
    currency: CurrencyView
    refusal: ExplainedRefusal | None
    gateways: list[TriedGateway]
    hold: ExplainedHold | None
    estimate: list[PricedLine] = Field(description="How the amount of a hold that was refused or returned is made up.")
    settlement: ExplainedSettlement | None = Field(description="null: nothing is charged.")
