"""The audit log over HTTP: an app reads what was done to its own records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from fastapi import Depends, Query
from pydantic import AfterValidator, BaseModel, Field

from middlewares.exchange import Refusal
from proxy.api.caller import Caller, CallerWith
from proxy.api.services import BuilderServices
from proxy.control.audit.line import LONGEST_TEXT
from proxy.history.audit.reader import LONGEST_PAGE, AuditReader, ListedLine, parse_token
from proxy.history.audit.rows import AuditFilter
from proxy.identity.token_issuer import READ
from proxy.reporting.dates import unix_ms

Reader = Annotated[Caller, Depends(CallerWith(READ))]


class AuditLineView(BaseModel):
    """One line: who did what to which record with which result."""

    id: str
    number: int | None = Field(description="Place in the chain; null: not chained yet.")
    time: datetime
    actor_kind: str = Field(description="`app`, `user`, `developer`, `operator` or `system`.")
    actor: str | None = Field(
        description="Id of the app, user or developer; null where that is no business of the app."
    )
    key_id: str | None = Field(description="Id of the API key that was used.")
    address: str | None = Field(description="Address of the caller, until it is erased.")
    action: str = Field(description="For example `key.revoke`.")
    target_kind: str
    target: str = Field(description="Id of the record; empty where there was none.")
    result: Literal["done", "refused", "failed"]
    code: str | None = Field(description="Why it was refused.")
    detail: dict[str, str] = Field(description="Names and numbers; amounts are decimal strings.")

    @classmethod
    def of(cls, listed: ListedLine) -> Self:
        """Return what a tenant is shown of a line."""
        line, known = listed.line, listed.shows_actor
        texts = line.texts
        address = texts.pop("address", None)
        return cls(
            id=line.id,
            number=listed.seq,
            time=datetime.fromtimestamp(listed.time / 1_000, UTC),
            actor_kind=line.actor_kind,
            actor=line.actor if known else None,
            key_id=line.key if known else None,
            address=address if known else None,
            action=line.action,
            target_kind=line.target_kind,
            target=line.target,
            result=line.result,
            code=line.code or None,
            detail={**texts, **{name: str(number) for name, number in line.numbers.items()}},
        )


class AuditPage(BaseModel):
    """Lines, the newest first."""

    lines: list[AuditLineView]
    next: str | None = Field(description="`before` of the next page; null: it is the last.")


def _place(text: str) -> str:
    parse_token(text)
    return text


def _moment(when: datetime) -> datetime:
    if when.tzinfo is None:
        raise ValueError("must have a time zone")
    return when


Moment = Annotated[datetime, AfterValidator(_moment)]
Name = Annotated[str | None, Query(max_length=LONGEST_TEXT)]


class AuditEndpoints:
    """The route `/api/v1/apps/{client_id}/audit`."""

    def __init__(self, services: BuilderServices) -> None:
        self._sources = services.sources

    async def list(
        self,
        *,
        client_id: str,
        caller: Reader,
        limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = 100,
        before: Annotated[
            Annotated[str, AfterValidator(_place)] | None, Query(description="`next` of the page before.")
        ] = None,
        since: Annotated[Moment | None, Query(description="First moment.")] = None,
        until: Annotated[Moment | None, Query(description="First moment that is not wanted any more.")] = None,
        action: Name = None,
        actor: Name = None,
        target: Name = None,
    ) -> AuditPage:
        """Return the audit lines of the app by page, the newest first."""
        if caller.user is not None:
            raise Refusal(403, "insufficient_scope", "The audit log is for the app, not for one of its users.")
        wanted = AuditFilter(
            app=caller.app,
            actor=actor,
            action=action,
            target=target,
            since_ms=unix_ms(since) if since else 0,
            until_ms=unix_ms(until) if until else None,
        )
        reader = AuditReader(self._sources.client, self._sources.history)
        lines, following = await reader.page(wanted, limit=limit, before=parse_token(before) if before else None)
        return AuditPage(lines=[AuditLineView.of(each) for each in lines], next=following)
