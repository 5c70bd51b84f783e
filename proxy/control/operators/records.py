"""Records of operators' ways into the portal. Times are in UTC; the record of an operator itself is auth's, too."""

from dataclasses import dataclass, field
from datetime import datetime

from middlewares.auth.records import RecordRef


@dataclass(frozen=True, slots=True)
class OperatorLinkRecord:
    """A link, without its secret, by which an operator signs in to the portal once."""

    link_id: str
    hash: str = field(repr=False)
    operator: str
    created_at: datetime
    expires_at: datetime

    @property
    def ref(self) -> RecordRef:
        return RecordRef("operator-link", self.link_id)


@dataclass(frozen=True, slots=True)
class OperatorSessionRecord:
    """An operator that is signed in to the portal in one browser, without the session's secret."""

    session_id: str
    hash: str = field(repr=False)
    operator: str
    created_at: datetime
    expires_at: datetime
    address: str
    """Address of the browser that signed in."""
    client: str
    """What it called itself (`User-Agent`)."""
    idle_seconds: int
    """Seconds without a request after which it ends before its time."""
    impersonates: str = ""
    """Client id of the app whose pages it shows as a viewer sees them; empty: none."""

    @property
    def ref(self) -> RecordRef:
        return RecordRef("operator-session", self.session_id)
