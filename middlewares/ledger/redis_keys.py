"""Names of the ledger's keys in Redis.

All keys of an app carry one hash tag, so each script touches one slot and runs on Redis Cluster unchanged. Limits
over all apps together live under a tag of their own on a single node, where scripts may cross slots; on a cluster
each hash tag keeps an equal share of them.
"""

import zlib
from dataclasses import dataclass

PREFIX = "tollgate:"
REMEMBERED_APPS = 100_000


@dataclass(frozen=True, slots=True)
class TagKeys:
    """The keys shared by all apps of one hash tag."""

    holds: str
    """Sorted set: request id -> Unix ms at which the hold expires."""
    bodies: str
    """Hash: request id -> hold (JSON)."""
    events: str
    """Stream of usage events: fields `event` (JSON) and `amount` (decimal string); where a wallet paid or was paid into
    also `wallet` (`app` or `user`: whose), where money is included `gross` (the amount without that)."""


class RedisKeys:
    """Builds key names for `hash_tags` tags."""

    def __init__(self, hash_tags: int, *, cluster: bool) -> None:
        self.tags = tuple(f"{PREFIX}{{t{number}}}:" for number in range(hash_tags))
        self.cluster = cluster
        self._known: dict[str, str] = {}
        self._shared = {tag: TagKeys(f"{tag}holds", f"{tag}bodies", f"{tag}events") for tag in self.tags}

    def tag(self, app: str) -> str:
        """Prefix of every key of this app, for example `tollgate:{t3}:`."""
        tag = self._known.get(app)
        if tag is None:
            tag = self.tags[zlib.crc32(app.encode()) % len(self.tags)]
            if len(self._known) < REMEMBERED_APPS:
                self._known[app] = tag
        return tag

    def shared(self, tag: str) -> TagKeys:
        """Holds, bodies and events of a tag."""
        return self._shared[tag]

    def rule(self, app: str, kind: str, scope: str, subject: str, rule: str) -> str:
        """State of one limit: `kind` is window, lease, cap or allowance."""
        tag = f"{PREFIX}{{global}}:" if scope == "global" and not self.cluster else self.tag(app)
        return f"{tag}{kind}:{scope}:{subject}:{rule}"

    def wallet(self, app: str, user: str | None = None) -> str:
        """Prepaid credits of an app, or of one user with a wallet of its own (hash: granted, spent, held)."""
        return f"{self.tag(app)}wallet:{app}" + (f":{user}" if user else "")

    def references(self, app: str) -> str:
        """References under which an app's credits were changed (hash: reference -> `<amount> <user>`)."""
        return f"{self.tag(app)}references:{app}"

    def marker(self, app: str, request_id: str) -> str:
        """What a reaped or recorded request leaves behind, so that nothing is counted twice."""
        return f"{self.tag(app)}marker:{request_id}"

    def session(self, app: str, workload: str, stream: str) -> str:
        """The session of a stream of this app, by its stream id at the gateway (JSON)."""
        return f"{self.tag(app)}session:{workload}:{stream}"

    def streams(self, tag: str) -> str:
        """BYOC streams of all apps of a tag that the gate has to tick (hash: stream id -> JSON)."""
        return f"{tag}streams"

    def usage(self, app: str, day: str) -> str:
        """Running totals of an app on one UTC day (`20261121`)."""
        return f"{self.tag(app)}usage:{app}:{day}"
