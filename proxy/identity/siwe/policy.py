"""What a well-formed message has to say before its signature counts for anything here. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from proxy.identity.siwe.message import SiweMessage


class UnacceptableMessage(ValueError):
    """The message is for another server, or another time. Says what it should say."""


@dataclass(frozen=True, slots=True)
class SiweTerms:
    """What messages for this server say."""

    origin: str
    """Scheme and authority under which clients reach it."""
    statement: str
    chain_ids: Collection[int]
    age: timedelta
    """Longest time from `Issued At` to the sign-in."""
    skew: timedelta
    """Tolerated lead of the client's clock."""

    @property
    def scheme(self) -> str:
        """Return the scheme of the origin."""
        return urlsplit(self.origin).scheme

    @property
    def domain(self) -> str:
        """Return the authority of the origin, with its port if it has one."""
        return urlsplit(self.origin).netloc

    def check_place(self, message: SiweMessage) -> None:
        """Raise `UnacceptableMessage` for a message that was signed for anything but this server."""
        if message.domain != self.domain:
            raise UnacceptableMessage(f"The message is for another domain; it must name {self.domain}.")
        if message.scheme not in (None, self.scheme):
            raise UnacceptableMessage(f"The message has another scheme before its domain than {self.scheme}.")
        if message.uri != self.origin and not message.uri.startswith(self.origin + "/"):
            raise UnacceptableMessage(f"The message's URI is not {self.origin}, nor below it.")
        if message.chain_id not in map(str, self.chain_ids):
            allowed = ", ".join(map(str, sorted(self.chain_ids)))
            raise UnacceptableMessage(f"The message's chain id is not accepted here; accepted are {allowed}.")
        if message.statement != self.statement:
            raise UnacceptableMessage("The message's statement is not the one that comes with the nonce.")

    def check_time(self, message: SiweMessage, now: datetime) -> None:
        """Raise `UnacceptableMessage` for a message that is not valid at this moment."""
        if message.issued_at > now + self.skew:
            raise UnacceptableMessage("The message was issued in the future; compare the clocks.")
        if message.issued_at < now - self.age - self.skew:
            raise UnacceptableMessage("The message was issued too long ago; sign a new one.")
        if message.not_before is not None and message.not_before > now + self.skew:
            raise UnacceptableMessage("The message is not valid yet.")
        if message.expiration_time is not None and message.expiration_time <= now:
            raise UnacceptableMessage("The message has expired; sign a new one.")
