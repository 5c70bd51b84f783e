"""What the admin API takes and returns about money, usage and the deployment.

Amounts are decimal strings of the currency's atomic unit.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from middlewares.ledger.credit.lots import Lot, LotTerms
from middlewares.ledger.credit.prepaid import LONGEST_TEXT, Balance
from proxy.api.models import RequestBody
from proxy.reporting.dates import EVER, unix_ms
from proxy.reporting.tables import Amount, CurrencyView

SHORTEST_LEAD_SECONDS = 10
"""Workers look for new keys every five seconds."""
LONGEST_LEAD_SECONDS = 30 * 86_400


GROUP_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"
"""Names of export groups."""


def check_ledger_moment(time_ms: int) -> None:
    """Raise `ValueError` for Unix milliseconds that the ledger cannot hold: 0 stands for never there."""
    if not 0 < time_ms < EVER.end_ms:
        raise ValueError(f"must be after {EVER.first} and not after {EVER.last}, in UTC")


def _of_the_ledger(when: datetime) -> datetime:
    check_ledger_moment(unix_ms(when))
    return when


LedgerMoment = Annotated[AwareDatetime, AfterValidator(_of_the_ledger)]
PositiveAmount = Annotated[str, StringConstraints(pattern=r"^0*[1-9][0-9]{0,39}$", max_length=40)]
Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class CreditChange(RequestBody):
    """A change of a wallet."""

    amount: PositiveAmount = Field(description="A whole number of atomic units above 0.")
    reference: Annotated[Text, Field(min_length=1)] = Field(
        description="Your name for this change; with the same name it counts once, however often it is sent."
    )
    note: Text = ""
    force: bool = Field(False, description="For a debit: allow a balance below zero.")


class CreditGrant(CreditChange):
    """Credits that are added to a wallet."""

    promotional: bool = Field(False, description="They are spent before all that are not.")
    expires: LedgerMoment | None = Field(
        None, description="When what is left of them leaves the wallet; null: never. Earlier ones are spent first."
    )

    @property
    def terms(self) -> LotTerms:
        """Return what makes them a lot, if they are one."""
        expires = unix_ms(self.expires) if self.expires else 0
        return LotTerms(promotional=self.promotional, expires_ms=expires)


class LotDocument(BaseModel):
    """Credits of a wallet that are promotional or expire."""

    id: str
    promotional: bool
    expires: datetime | None = Field(description="null: never.")
    left: Amount = Field(description="What a request can still reserve of it.")
    held: Amount = Field(description="Reserved by requests that run, which may spend it after the expiry, too.")

    @classmethod
    def of(cls, lot: Lot) -> Self:
        """Return the document of a lot."""
        at = lot.terms.expires_ms
        expires = datetime.fromtimestamp(at / 1_000, UTC) if at else None
        amounts = {"left": str(lot.left), "held": str(lot.reserved)}
        return cls(id=lot.id, promotional=lot.terms.promotional, expires=expires, **amounts)


class WalletDocument(BaseModel):
    """A wallet of prepaid credits; all zero where there is none."""

    app: str
    user: str | None = Field(description="null: the wallet of the app.")
    available: Amount = Field(description="What a request can still reserve.")
    granted: Amount
    spent: Amount
    held: Amount = Field(description="Reserved for requests that run.")
    currency: CurrencyView
    lots: list[LotDocument] = Field(
        [], description="Promotional and expiring credits, in the order of spending, before all else of `available`."
    )

    @staticmethod
    def members(app: str, user: str | None, found: Balance, currency: CurrencyView) -> dict[str, Any]:
        """Return the members of the document of a wallet."""
        amounts = {name: str(getattr(found, name)) for name in ("available", "granted", "spent", "held")}
        lots = [LotDocument.of(lot) for lot in found.lots]
        return {"app": app, "user": user, **amounts, "currency": currency, "lots": lots}


class WalletChange(WalletDocument):
    """A wallet after a change."""

    reference: str
    repeated: bool = Field(description="True: the reference was used before, so nothing was changed.")


class EventDocument(BaseModel):
    """A usage event, with all that the ledger knows of it, as `tollgate events` prints it."""

    id: str
    time: str = Field(description="When it ended, RFC 3339.")
    started: str
    app: str
    user: str | None
    key: str | None
    plan: str
    workload: str | None
    model: str
    outcome: str
    type: str
    units: dict[str, int]
    provenance: dict[str, str]
    network_units: int | None
    status: int
    gateway_status: int
    error: str
    finish_reason: str
    gateway: str
    failed_attempts: str
    tier: str
    duration_ms: int
    upstream_ms: int | None
    bytes_in: int
    bytes_out: int
    part: int
    attention: bool
    held: Amount
    reserved_amount: str
    reference: str
    note: str
    fallback: str = Field(description="Policy of the limit in whose stead a fallback served it; empty: none did.")
    requested_model: str = Field(description="Where a fallback has put `model` in its place.")
    lot: str
    amount: Amount


class EventPage(BaseModel):
    """Events: archived ones by time, then those of Redis in the order in which they were written."""

    items: list[EventDocument]
    unreadable: list[str] = Field(description="Entries that are no event, which were left out.")
    next: str = Field(description="`after` of the next page, also of what is written later.")
    more: bool = Field(description="False: there is nothing behind this page at the moment.")


class Decision(StrEnum):
    """What becomes of an event that needs attention."""

    REFUND = "refund"
    """What was charged for it is given back."""
    ACCEPT = "accept"
    """It stays as it is."""
    CHARGE = "charge"
    """It is charged in full: what was reserved for it."""


class ResolutionRequest(RequestBody):
    """A decision about an event."""

    decision: Decision = Field(description="`refund`, `accept`, or `charge`: in full, what was reserved for it.")
    note: Text = Field("", description="A remark that is kept with the decision.")


class Resolution(BaseModel):
    """The decision about an event, which is final."""

    event: str
    decision: Decision
    amount: Amount = Field(description="What the decision added to the charge; negative: given back.")
    repeated: bool = Field(description="True: the same decision was made before, so nothing was changed.")


class AttentionItem(BaseModel):
    """An event that a person should look at."""

    event: EventDocument
    reserved: Amount | None = Field(description="What `charge` would charge in all; null: it cannot be charged.")
    resolution: Resolution | None = Field(description="null: it is open.")


class AttentionPage(BaseModel):
    """Events that need attention, in the order of events."""

    items: list[AttentionItem]
    next: str = Field(description="`after` of the next page.")
    more: bool = Field(description="False: there is nothing behind this page at the moment.")


class UsageDocument(BaseModel):
    """Usage of an app, as `tollgate usage --json` prints it."""

    model_config = ConfigDict(populate_by_name=True)

    app: str
    first: date = Field(alias="from")
    last: date = Field(alias="to")
    currency: CurrencyView
    totals: dict[str, Any]
    groups: list[dict[str, Any]]


class StatementDocument(BaseModel):
    """The account of an app for a period, as `tollgate statements --json` prints it."""

    model_config = ConfigDict(populate_by_name=True)

    app: str
    name: str
    first: date = Field(alias="from")
    last: date = Field(alias="to")
    currency: CurrencyView
    lines: list[dict[str, Any]]
    totals: dict[str, Amount]
    credits: list[dict[str, Any]]
    plans: list[str]
    event_count: int
    attention_count: int
    events_sha256: str
    notes: list[str]


class DifferenceDocument(BaseModel):
    """A value that differs from what events and open holds give."""

    what: str
    where: str
    expected: str
    found: str


class Verification(BaseModel):
    """How totals compare with the events."""

    differences: list[DifferenceDocument]
    events: int
    holds: int
    totals: int
    unknown: int = Field(description="Totals of earlier plan versions, which cannot be compared.")
    pruned: int = Field(description="Totals of pruned months, which no events explain any more.")
    kept_from: str = Field(description="First day of which all events are kept; empty: nothing was pruned.")


class IssuerRotation(RequestBody):
    """How the signing key of the issuer is replaced."""

    lead_seconds: int = Field(
        600,
        ge=SHORTEST_LEAD_SECONDS,
        le=LONGEST_LEAD_SECONDS,
        description="Time from the publication of the new key to its first signature.",
    )


class IssuerKeyDocument(BaseModel):
    """A new signing key of the issuer."""

    kid: str
    algorithm: str
    signs_from: datetime


class WorkersState(BaseModel):
    """The worker processes."""

    configured: int
    running: int | None = Field(description="null: not known where this was asked.")


class PartState(BaseModel):
    """Redis, or the history."""

    available: bool
    reason: str = Field(description="Why it is not; empty where it is.")


class HistoryPart(PartState):
    """The history."""

    lag_seconds: float | None = Field(description="Age of the oldest event that is not archived; null: not known.")


class ServerState(BaseModel):
    """How the deployment is doing."""

    version: str
    workers: WorkersState
    redis: PartState
    history: HistoryPart


class HistoryState(BaseModel):
    """How far each stream is archived and trimmed, and what holds it up; times in Unix milliseconds."""

    streams: list[dict[str, Any]]


def _month(text: str) -> str:
    try:
        date.fromisoformat(f"{text}-01")
    except ValueError:
        raise ValueError("must be a month such as 2026-01") from None
    return text


class Pruning(RequestBody):
    """Which events to delete."""

    before: Annotated[str, Field(json_schema_extra={"pattern": r"^\d{4}-\d{2}$"}), AfterValidator(_month)] | None = (
        Field(None, description="First month that is kept, such as 2026-01; null: by `history.events_months`.")
    )
    dry_run: bool = Field(False, description="Only count what that would delete.")


class PrunedStream(BaseModel):
    """What was deleted of one stream, or would be."""

    stream: str
    kept_from: str | None = Field(description="First day of which events are kept; null: all are.")
    events: int
    held_by: list[str] = Field(description="Export groups that still need older events.")


class PrunedStreams(BaseModel):
    """What was deleted, or would be, by stream."""

    streams: list[PrunedStream]


class GroupName(RequestBody):
    """An export group."""

    name: Annotated[str, Field(pattern=GROUP_PATTERN)]


class ForgottenGroup(GroupName):
    """An export group that was removed."""

    streams: int = Field(description="Number of streams in which it had a place.")


class HistoryIdentity(BaseModel):
    """The history that this Redis belongs to."""

    history: str
