"""A user's own requests over HTTP, by page and the newest first."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Literal, Self

from fastapi import Query
from pydantic import AfterValidator, BaseModel, Field

from config.runtime import Currency
from config.workloads import Unit, Workload
from middlewares.auth.records import UserRecord
from proxy.history.places import BadPlace, TimePlace, place_of
from proxy.reporting.stream import RecordedEvent
from proxy.reporting.tables import Amount, CurrencyView

LONGEST_PAGE = 100


def _place(text: str) -> str:
    try:
        place_of(text, TimePlace)
    except BadPlace:
        raise ValueError("must be what a page has named as `next`") from None
    return text


PageLimit = Annotated[int, Query(ge=1, le=LONGEST_PAGE)]
Before = Annotated[
    Annotated[str, Field(max_length=1_000), AfterValidator(_place)] | None,
    Query(description="`next` of the page before."),
]


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1_000, UTC)


class RequestView(BaseModel):
    """One request of a user, one tick of a live session, or an adjustment of one of them."""

    id: str = Field(description="The `X-Request-ID` of its response; ticks and adjustments have a suffix.")
    type: Literal["usage", "adjustment"]
    time: datetime = Field(description="When it ended.")
    startedAt: datetime  # noqa: N815
    keyId: str | None = Field(description="null: by a token.")  # noqa: N815
    workload: Workload | None
    model: str
    outcome: str = Field(description="How it ended, for example `completed`.")
    status: int = Field(description="Status of the response; 0: none.")
    durationMs: int  # noqa: N815
    part: int = Field(description="Number of the tick of a live session, from 1; 0: no tick.")
    units: dict[Unit, int]
    feeWei: Amount = Field(description="In atomic units, whatever the currency.")  # noqa: N815

    @classmethod
    def of(cls, recorded: RecordedEvent) -> Self:
        """Return the view of an event."""
        event = recorded.event
        return cls(
            id=event.id,
            type="adjustment" if event.type == "adjustment" else "usage",
            time=_moment(event.time),
            startedAt=_moment(event.started),
            keyId=event.key,
            workload=event.workload,
            model=event.model,
            outcome=event.outcome,
            status=event.status,
            durationMs=event.duration_ms,
            part=event.part,
            units=event.units,
            feeWei=recorded.amount,
        )


class Requests(BaseModel):
    """One page; the fees of all pages add up to that of the user's usage."""

    clientId: str  # noqa: N815
    userId: str  # noqa: N815
    externalUserId: str  # noqa: N815
    currency: CurrencyView
    start: date
    end: date
    requests: list[RequestView] = Field(description="The newest first; a page may have fewer, or none, before the end.")
    next: str | None = Field(description="`before` of the next page; null: it is the last.")

    @classmethod
    def of(
        cls, user: UserRecord, currency: Currency, days: tuple[date, date], found: list[RequestView], next_: str | None
    ) -> Self:
        """Return a page of a user's requests."""
        return cls(
            clientId=user.app,
            userId=user.user_id,
            externalUserId=user.external_id,
            currency=CurrencyView.of(currency),
            start=days[0],
            end=days[1],
            requests=found,
            next=next_,
        )
