"""One line of the audit log, in two parts: one that stays for ever, and one that an erasure may take away.

The part that stays has ids, names of actions, and numbers. The private part has the address and everything that is
text. The chain of the history covers the private part by a salted digest, so that it can go without breaking a link.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from ulid import ULID

from middlewares.response.redaction import mask

LONGEST_TEXT = 256
"""Most bytes of one text."""
MOST_DETAILS = 16
"""Most names in the details of one line."""

Detail = Mapping[str, str | int | None]
"""Names, and texts, numbers or truth values; None is left out."""

_ACTION = re.compile(r"[a-z_]+(\.[a-z_]+)+")
_NAME = re.compile(r"[a-z_]{1,40}")


class ActorKind(StrEnum):
    """Who may act."""

    OPERATOR = "operator"
    """Whoever runs `tollgate`, by the name of the account, or an operator by the id of the key."""
    APP = "app"
    USER = "user"
    DEVELOPER = "developer"
    SYSTEM = "system"
    """Tollgate itself."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts."""

    kind: ActorKind
    id: str
    key: str | None = None
    """Id of the key it acted with, if it was one."""
    address: str = ""
    """Network address, where there is one."""


@dataclass(frozen=True, slots=True)
class AuditTarget:
    """The record that is acted on."""

    kind: str
    """For example `key`, `user`, `app`, `wallet`, `history`."""
    id: str
    """Id that Tollgate has given it; never a name that a client has chosen."""
    app: str = ""
    """Client id of the app that it belongs to, whose tenant may read the line; empty: none."""


class ActOutcome(StrEnum):
    """How an act ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """What is written; the place in the chain and the time are given by the stream and the history."""

    id: str
    actor_kind: str
    actor: str
    action: str
    target_kind: str
    target: str
    app: str = ""
    key: str | None = None
    result: str = ActOutcome.DONE
    code: str = ""
    numbers: dict[str, int] = {}
    private: str = "{}"
    """JSON of the texts, and of the address."""
    salt: str = ""

    @property
    def texts(self) -> dict[str, str]:
        """Return the texts of the private part; none after an erasure."""
        return dict(msgspec.json.decode(self.private or "{}", type=dict[str, str]))


ENCODE = msgspec.json.Encoder().encode
DECODE = msgspec.json.Decoder(AuditLine).decode


@dataclass(frozen=True, slots=True)
class Result:
    """How an act ended, and the code that it was refused with."""

    outcome: ActOutcome = ActOutcome.DONE
    code: str = ""


DONE = Result()


def line_of(
    actor: Actor, action: str, target: AuditTarget, result: Result = DONE, detail: Detail | None = None
) -> AuditLine:
    """Return a line. Raises `ValueError` for an action or a name of a detail that is not of this house's form."""
    if not _ACTION.fullmatch(action):
        raise ValueError(f"Expected an action such as key.revoke, got {action!r}")
    numbers, texts = _divided(detail or {})
    if actor.address:
        texts["address"] = bounded(actor.address)
    return AuditLine(
        id=str(ULID()),
        actor_kind=actor.kind,
        actor=bounded(actor.id),
        key=actor.key and bounded(actor.key),
        action=action,
        target_kind=target.kind,
        target=bounded(target.id),
        app=bounded(target.app),
        result=result.outcome,
        code=bounded(result.code),
        numbers=numbers,
        private=_canonical(texts),
        salt=secrets.token_hex(16),
    )


def public_part(line: AuditLine) -> dict[str, Any]:
    """Return the part of a line that stays for ever, in the order and names that the chain covers."""
    return {
        "id": line.id,
        "actor_kind": line.actor_kind,
        "actor": line.actor,
        "key": line.key,
        "action": line.action,
        "target_kind": line.target_kind,
        "target": line.target,
        "app": line.app,
        "result": line.result,
        "code": line.code,
        "numbers": {name: str(number) for name, number in sorted(line.numbers.items())},
    }


def private_digest(line: AuditLine) -> str:
    """Return the digest of the private part; the salt keeps addresses from being guessed once they are erased."""
    return hashlib.sha256(f"{line.salt}\n{line.private}".encode()).hexdigest()


def bounded(text: str) -> str:
    """Return at most `LONGEST_TEXT` bytes of a text, without control characters, keys and tokens."""
    printable = "".join(each if each.isprintable() else "�" for each in mask(text))
    return printable.encode(errors="replace")[:LONGEST_TEXT].decode(errors="ignore")


def _divided(detail: Detail) -> tuple[dict[str, int], dict[str, str]]:
    numbers: dict[str, int] = {}
    texts: dict[str, str] = {}
    for name, value in list(detail.items())[:MOST_DETAILS]:
        if not _NAME.fullmatch(name) or name == "address":
            raise ValueError(f"Expected the name of a detail, got {name!r}")
        if isinstance(value, int):
            numbers[name] = int(value)
        elif value is not None:
            texts[name] = bounded(value)
    return numbers, texts


def _canonical(texts: dict[str, str]) -> str:
    return json.dumps(texts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
