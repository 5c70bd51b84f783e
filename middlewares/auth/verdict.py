"""The verdict on a credential: a grant or a denial."""

from dataclasses import dataclass, field

from config.networks import Network
from middlewares.auth.records import RecordRef
from middlewares.exchange import CredentialOwner, Principal

INFERENCE = "inference"
SIGN_JOB = "sign:job"
WORK_SCOPES = frozenset({INFERENCE, SIGN_JOB})
"""Scopes each of which covers billable work. API keys have `inference`, and so have tokens of external
issuers whose scopes are not configured."""


@dataclass(frozen=True, slots=True)
class Grant:
    """An accepted credential, its principal, and where and until when it is valid."""

    principal: Principal
    rests_on: tuple[RecordRef, ...]
    """Records that the verdict was derived from; a change of any of them ends it."""
    networks: tuple[Network, ...] | None = None
    """Networks that it may be used from; None: anywhere."""
    origins: frozenset[bytes] | None = None
    """Origins of the web pages that may use it; None: all, and programs that are no browser."""
    expires_at: float | None = None
    """Unix seconds; None: never."""
    scopes: frozenset[str] = frozenset({INFERENCE})
    """What it may be used for, in words of OAuth."""
    unconfirmed: bool = field(default=False, compare=False)
    """True if the store could not be reached to confirm that this still holds."""


@dataclass(frozen=True, slots=True)
class Denial:
    """A refused credential, with status, code and detail of the response, which contain nothing of the credential."""

    status: int
    code: str
    detail: str
    rests_on: tuple[RecordRef, ...] = ()
    owner: CredentialOwner | None = None
    """Whose credential it is; None: not known, or the credential itself is wrong."""
    memorable: bool = True
    """True if the same credential would be denied again in a few seconds, so that the denial may be cached."""


Verdict = Grant | Denial
