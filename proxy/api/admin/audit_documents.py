"""What the admin API takes and returns about the audit log, and about everything that is kept of somebody."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from proxy.api.models import ExternalId, RequestBody

FIRST_LINE, LAST_LINE = '{"lines": [', "]}"
"""Lines of an export before and after those of its objects, of which each has one of its own."""
UNREADABLE = "unreadable"
"""Kind of a line that stands for an entry that is no event; its `reason` says which."""


class AuditLineDocument(BaseModel):
    """One line: who did what to which record with which result."""

    id: str
    number: int | None = Field(description="Place in the chain; null: not chained yet.")
    time: str = Field(description="RFC 3339, in UTC.")
    actor_kind: str = Field(description="`app`, `user`, `developer`, `operator` or `system`.")
    actor: str
    key_id: str | None = Field(description="Id of the key that was used.")
    action: str = Field(description="For example `key.revoke`.")
    target_kind: str
    target: str = Field(description="Id of the record; empty where there was none.")
    app: str | None
    result: Literal["done", "refused", "failed"]
    code: str | None = Field(description="Why it was refused.")
    numbers: dict[str, str] = Field(description="Decimal strings.")
    texts: dict[str, str] = Field(description="Until they are erased.")


class AuditLines(BaseModel):
    """Audit lines, the newest first."""

    items: list[AuditLineDocument]
    next: str | None = Field(description="`before` of the next page; null: this is the last one.")


class AuditVerification(BaseModel):
    """Outcome of a verification of the audit log."""

    lines: int
    waiting: int = Field(description="Lines that are not chained yet.")
    erased: int = Field(description="Lines whose texts are gone.")
    head: str = Field(description="The last line, as number and hash; note it, for a later verification.")
    findings: list[str] = Field(description="What is wrong; empty: nothing.")


class SubjectExport(BaseModel):
    """Everything about an app, or about one of its users; no secrets are among it."""

    lines: list[dict[str, Any]] = Field(
        description="Objects with a `kind`: `app`, `user`, `key`, `credits`, `event`, `audit`, or `unreadable` for "
        "what is missing because it could not be read."
    )


class Erasure(RequestBody):
    """Whom to erase."""

    user: ExternalId | None = Field(description="User id or external id; null: the app with all its users.")
    irreversible: Annotated[Literal[True], Field(description="Must be true: it cannot be undone.")]


class ErasedDocument(BaseModel):
    """How much was erased; amounts and totals stay."""

    app: str
    user: str | None = Field(description="User id; null: the app with all its users.")
    events: int
    audit_lines: int
    references: int
    entries: int = Field(description="Entries of the usage stream.")
