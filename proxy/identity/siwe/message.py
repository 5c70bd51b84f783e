"""The message of EIP-4361, read and written: lines of ASCII, with LF between them, in order, and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from proxy.identity.siwe import grammar
from proxy.identity.siwe.address import has_checksum

MAX_CHARACTERS = 4_096
"""Longest message that is read."""
_FRACTION_DIGITS = 6


class MalformedMessage(ValueError):
    """The text is no message of EIP-4361. Says which line is wrong, and nothing of what stands there."""


@dataclass(frozen=True, slots=True)
class SiweMessage:
    """The fields of a message, as they were written; times are in UTC."""

    scheme: str | None
    domain: str
    address: str
    """With the checksum of EIP-55."""
    statement: str | None
    uri: str
    chain_id: str
    nonce: str
    issued_at: datetime
    expiration_time: datetime | None = None
    not_before: datetime | None = None
    request_id: str | None = None
    resources: tuple[str, ...] | None = None


def parse_message(text: str) -> SiweMessage:
    """Return the fields of a message of version 1. Raises `MalformedMessage` for whatever the grammar does not make.

    One thing less than the grammar: a leap second (RFC 3339) is refused, as there is no such moment to compare with.
    """
    if len(text) > MAX_CHARACTERS:
        raise MalformedMessage(f"The message has more than {MAX_CHARACTERS} characters.")
    if not text.isascii():
        raise MalformedMessage("The message has a character that is not ASCII.")
    lines = _Lines(text)
    scheme, domain = lines.take("the head, which names the domain that wants a signature", grammar.HEAD).groups()
    address = lines.take("an address", grammar.ADDRESS)[0]
    if not has_checksum(address):
        raise MalformedMessage("Line 2 is an address without its checksum (EIP-55).")
    lines.take("empty", "")
    statement = None if lines.is_next("") else lines.take("a statement", grammar.STATEMENT)[0]
    lines.take("empty", "")
    uri = lines.field("URI", grammar.URI)
    lines.field("Version", grammar.VERSION)
    message = SiweMessage(
        scheme=scheme,
        domain=domain,
        address=address,
        statement=statement,
        uri=uri,
        chain_id=lines.field("Chain ID", grammar.CHAIN_ID),
        nonce=lines.field("Nonce", grammar.NONCE),
        issued_at=lines.time("Issued At"),
        expiration_time=lines.optional_time("Expiration Time"),
        not_before=lines.optional_time("Not Before"),
        request_id=lines.optional("Request ID", grammar.REQUEST_ID),
        resources=lines.resources(),
    )
    lines.end()
    return message


def written(message: SiweMessage) -> str:
    """Return the text of a message, with times in milliseconds; `parse_message` reads it back."""
    scheme = "" if message.scheme is None else f"{message.scheme}://"
    optional = {
        "Expiration Time": message.expiration_time and _time(message.expiration_time),
        "Not Before": message.not_before and _time(message.not_before),
        "Request ID": message.request_id,
    }
    resources = None if message.resources is None else ["Resources:", *(f"- {each}" for each in message.resources)]
    return "\n".join(
        [
            f"{scheme}{message.domain} wants you to sign in with your Ethereum account:",
            message.address,
            "",
            *([] if message.statement is None else [message.statement]),
            "",
            f"URI: {message.uri}",
            "Version: 1",
            f"Chain ID: {message.chain_id}",
            f"Nonce: {message.nonce}",
            f"Issued At: {_time(message.issued_at)}",
            *(f"{name}: {value}" for name, value in optional.items() if value is not None),
            *(resources or []),
        ]
    )


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Lines:
    """The lines of a message, taken one after the other."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._next = 0

    def is_next(self, line: str) -> bool:
        """Return True if this is the next line."""
        return self._next < len(self._lines) and self._lines[self._next] == line

    def take(self, what: str, pattern: str) -> re.Match[str]:
        """Take the line that is `pattern` as a whole. Raises `MalformedMessage` where it is not."""
        line = self._lines[self._next] if self._next < len(self._lines) else "\n"
        match = re.fullmatch(pattern, line)
        self._next += 1
        if match is None:
            raise MalformedMessage(f"Line {self._next} is not {what}.")
        return match

    def field(self, name: str, pattern: str) -> str:
        """Take the line `name: value`; return the value."""
        return self.take(f"`{name}: ` and a value that may stand there", f"{name}: (?:{pattern})")[0][len(name) + 2 :]

    def optional(self, name: str, pattern: str) -> str | None:
        """Take the line `name: value` if it is the next one."""
        there = self._next < len(self._lines) and self._lines[self._next].startswith(f"{name}: ")
        return self.field(name, pattern) if there else None

    def time(self, name: str) -> datetime:
        """Take the line `name: time`."""
        return self._moment(self.field(name, grammar.DATE_TIME))

    def optional_time(self, name: str) -> datetime | None:
        """Take the line `name: time` if it is the next one."""
        text = self.optional(name, grammar.DATE_TIME)
        return None if text is None else self._moment(text)

    def resources(self) -> tuple[str, ...] | None:
        """Take the list of resources if it is next; it goes on to the end."""
        if not self.is_next("Resources:"):
            return None
        self._next += 1
        found = []
        while self._next < len(self._lines):
            found.append(self.take("`- ` and a URI", f"- (?:{grammar.URI})")[0][2:])
        return tuple(found)

    def end(self) -> None:
        """Raise `MalformedMessage` unless every line was taken."""
        if self._next < len(self._lines):
            raise MalformedMessage(f"Line {self._next + 1} is one too many, or stands in the wrong place.")

    def _moment(self, text: str) -> datetime:
        match = re.fullmatch(grammar.DATE_TIME, text)
        assert match is not None  # noqa: S101 - it was taken by this very pattern
        fraction, sign, hours, minutes = match.groups()[6:]
        year, month, day, hour, minute, second = map(int, match.groups()[:6])
        try:
            offset = timedelta(hours=int(hours or 0), minutes=_below(60, minutes or "0"))
            micros = int((fraction or "0")[:_FRACTION_DIGITS].ljust(_FRACTION_DIGITS, "0"))
            zone = timezone(-offset if sign == "-" else offset)
            return datetime(year, month, day, hour, minute, second, micros, zone).astimezone(UTC)
        except (ValueError, OverflowError):
            raise MalformedMessage(f"Line {self._next} names a time that does not exist.") from None


def _below(bound: int, digits: str) -> int:
    """Return the number. Raises `ValueError` unless it is below the bound."""
    if int(digits) >= bound:
        raise ValueError
    return int(digits)
