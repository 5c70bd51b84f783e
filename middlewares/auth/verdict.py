"""What auth finds out about a credential."""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from middlewares.auth.records import RecordRef
from middlewares.exchange import Principal

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Grant:
    """A credential that is good, and for what."""

    principal: Principal
    rests_on: tuple[RecordRef, ...]
    """Records it was derived from; a change of any of them ends it."""
    networks: tuple[Network, ...] | None = None
    """Where it may be used from; None: anywhere."""
    expires_at: float | None = None
    """Unix seconds; None: never."""
    unconfirmed: bool = field(default=False, compare=False)
    """The store was asked whether this still holds, and did not answer."""


@dataclass(frozen=True, slots=True)
class Denial:
    """A credential that is not good, and the answer its bearer gets. Its texts hold nothing of the credential."""

    status: int
    code: str
    detail: str
    rests_on: tuple[RecordRef, ...] = ()
    memorable: bool = True
    """The same credential would be denied again in a few seconds."""


Verdict = Grant | Denial
