"""The service that writes the audit log: every line goes into one stream in Redis, whoever writes it.

    tollgate:audit        stream: field `line`, the JSON of an `AuditLine`; its entry's id gives the time (Redis time)
    tollgate:audit-head   string: `<seq>:<hash>` of the last line in the history, kept outside of it

So no act has to wait for the history, and no writer for another. The archiver moves lines to the history, where they
are chained; see `proxy.history.audit`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from redis.exceptions import RedisClusterException, RedisError

from middlewares.exchange import Refusal
from middlewares.ledger.redis_keys import PREFIX
from proxy.control.audit.line import DONE, ENCODE, Actor, ActOutcome, AuditLine, AuditTarget, Detail, Result, line_of
from proxy.control.records import Client, UnknownRecord
from proxy.store.clients import CLIENT_ERRORS

STREAM = f"{PREFIX}audit"
HEAD = f"{PREFIX}audit-head"
FIELD = "line"

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.audit")


@dataclass
class Act:
    """An act under way, whose line is written at its end."""

    actor: Actor | None
    """Who acts; None as long as nobody knows, and then no line is written."""
    target: AuditTarget
    result: Result | None = None
    """How it ended, where the error that ends it does not say."""
    detail: dict[str, str | int | None] = field(default_factory=dict)


class AuditLog:
    """Writes lines. A line that cannot be written is logged as an error, and raises what the client does."""

    def __init__(self, client: Client) -> None:
        self._client: Any = client

    async def record(
        self, actor: Actor, action: str, target: AuditTarget, result: Result = DONE, detail: Detail | None = None
    ) -> None:
        """Write that `actor` did `action` (such as `key.revoke`) to `target`, and how that ended."""
        await self._write(line_of(actor, action, target, result, detail))

    @asynccontextmanager
    async def act(self, actor: Actor | None, action: str, target: AuditTarget) -> AsyncIterator[Act]:
        """Write one line at the end of the context: done, refused with a code, or failed.

        What is yielded takes the record and details that are known only in the course of the act.
        """
        current = Act(actor, target)
        try:
            yield current
        except (RedisError, RedisClusterException):
            raise  # the line could not be written, either
        except Exception as error:
            with suppress(*CLIENT_ERRORS):  # logged; what ended the act says more
                await self._finish(current, action, current.result or result_of(error))
            raise
        await self._finish(current, action, current.result or DONE)

    async def _finish(self, act: Act, action: str, result: Result) -> None:
        if act.actor is not None:
            await self.record(act.actor, action, act.target, result, act.detail)

    async def _write(self, line: AuditLine) -> None:
        try:
            await self._client.xadd(STREAM, {FIELD: ENCODE(line)})
        except CLIENT_ERRORS:
            log.error(
                "audit_line_lost",
                action=line.action,
                target=line.target,
                app=line.app,
                actor=line.actor,
                result=line.result,
            )
            raise


def result_of(error: Exception) -> Result:
    """Return the result of an act that ended with this error."""
    if isinstance(error, Refusal):
        return Result(ActOutcome.REFUSED if error.status < 500 else ActOutcome.FAILED, error.code)
    if isinstance(error, UnknownRecord):
        return Result(ActOutcome.REFUSED, "unknown_id")
    code = getattr(error, "audit_code", "")
    return Result(ActOutcome.REFUSED, code) if code else Result(ActOutcome.FAILED, "internal_error")
