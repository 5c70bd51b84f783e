"""The names of the ledger's keys in Redis.

All keys of an app carry one hash tag, so each script touches one slot and runs on Redis Cluster unchanged. Limits
over all apps together live under a tag of their own on a single node, where scripts may cross slots; on a cluster
each hash tag keeps an equal share of them.
"""

import zlib
from dataclasses import dataclass

PREFIX = "tollgate:"
CACHED_APPS = 100_000


@dataclass(frozen=True, slots=True)
class TagKeys:
    """The keys shared by all apps of one hash tag."""

    holds: str
    """Sorted set: request id -> Unix ms at which the hold expires."""
    bodies: str
    """Hash: request id -> hold (JSON); `<share>|<key of the rule>` -> record of a share (`shares/lua/amounts.lua`)."""
    events: str
    """Stream of usage events: fields `event` (JSON) and `amount` (decimal string); where a wallet paid or was paid into
    also `wallet` (`app` or `user`: whose), where money is included `gross` (the amount without that)."""
    trimmed: str
    """String: Unix ms before which events may have been trimmed from the stream, as the history has them."""
    refused: str
    """Set: apps whose rings of refusals hold something that the history may not have."""
    doubts: str
    """Hash: id of a request whose event may have been trimmed -> `?`, or the archiver's `known` or `unknown`."""


class RedisKeys:
    """Builds key names for `hash_tags` tags."""

    def __init__(self, hash_tags: int, *, cluster: bool) -> None:
        self.tags = tuple(f"{PREFIX}{{t{number}}}:" for number in range(hash_tags))
        self.cluster = cluster
        self._known: dict[str, str] = {}
        self._shared = {
            tag: TagKeys(*(f"{tag}{name}" for name in ("holds", "bodies", "events", "trimmed", "refused", "doubts")))
            for tag in self.tags
        }

    def tag(self, app: str) -> str:
        """Return the prefix of every key of this app, for example `tollgate:{t3}:`."""
        tag = self._known.get(app)
        if tag is None:
            tag = self.tags[zlib.crc32(app.encode()) % len(self.tags)]
            if len(self._known) < CACHED_APPS:
                self._known[app] = tag
        return tag

    def shared(self, tag: str) -> TagKeys:
        """Return the keys that all apps of a tag share."""
        return self._shared[tag]

    def rule(self, app: str, kind: str, scope: str, subject: str, rule: str) -> str:
        """Return the key of one limit's state: `kind` is window, lease, cap or allowance."""
        tag = f"{PREFIX}{{global}}:" if scope == "global" and not self.cluster else self.tag(app)
        return f"{tag}{kind}:{scope}:{subject}:{rule}"

    def wallet(self, app: str, user: str | None = None) -> str:
        """Return the key of an app's prepaid credits, or of one user's own (hash: granted, spent, held).

        One with lots has `lots` and `hold:<request id>` as well (`credit/lua/lots.lua`).
        """
        return f"{self.tag(app)}wallet:{app}" + (f":{user}" if user else "")

    def expiring(self, tag: str) -> str:
        """Return the key of the wallets of a tag with lots that expire (sorted set: wallet -> Unix ms)."""
        return f"{tag}expiring"

    def references(self, app: str) -> str:
        """Return the key of the references of an app's credit changes (hash: reference -> `<amount> <user>`)."""
        return f"{self.tag(app)}references:{app}"

    def resolutions(self, app: str) -> str:
        """Return the key of the decisions about an app's events (hash: event id -> `<decision> <amount>`)."""
        return f"{self.tag(app)}resolutions:{app}"

    def marker(self, app: str, request_id: str) -> str:
        """Return the key that a reaped or recorded request leaves behind, so that nothing is counted twice."""
        return f"{self.tag(app)}marker:{request_id}"

    def refusals(self, app: str) -> str:
        """Return the key of an app's refusals that the history may not have (stream: field `refusal`, JSON)."""
        return f"{self.tag(app)}refusals:{app}"

    def unrecorded(self, app: str) -> str:
        """Return the key of the numbers of an app's refusals that were counted only (hash: rule -> number)."""
        return f"{self.tag(app)}unrecorded:{app}"

    def idempotency(self, app: str, digest: str) -> str:
        """Return the key of the claim to an idempotency key, by the digest of what that is bound to (hash)."""
        return f"{self.tag(app)}idempotency:{digest}"

    def idempotent_requests(self, app: str) -> str:
        """Return the key of an app's claims that are done, oldest first (list of `<request id> <claim>`)."""
        return f"{self.tag(app)}idempotent-requests:{app}"

    def idempotent_responses(self, app: str) -> str:
        """Return the key of an app's kept responses, oldest first (list of `<bytes> <request id> <claim>`)."""
        return f"{self.tag(app)}idempotent-responses:{app}"

    def idempotent_bytes(self, app: str) -> str:
        """Return the key of how many bytes an app's kept responses have."""
        return f"{self.tag(app)}idempotent-bytes:{app}"

    def session(self, app: str, workload: str, stream: str) -> str:
        """Return the key of the session of a stream, by its stream id at the gateway (JSON)."""
        return f"{self.tag(app)}session:{workload}:{stream}"

    def streams(self, tag: str) -> str:
        """Return the key of the BYOC streams of all apps of a tag that Tollgate ticks, and of starts (hash of JSON)."""
        return f"{tag}streams"

    def last_group(self, tag: str, incarnation: str) -> str:
        """Return the key of the last group of settlements of a tag that a worker has committed (string, its number)."""
        return f"{tag}last-group:{incarnation}"

    def log_found(self, incarnation: str) -> str:
        """Return the key that says that the write-ahead log of a worker is there (string)."""
        return f"{self.tag(incarnation)}log-found:{incarnation}"

    def running(self, tag: str) -> str:
        """Return the key of what workers run of a tag that only their logs hold (hash: worker -> `ShownHolds`)."""
        return f"{tag}running"

    def usage(self, app: str, day: str) -> str:
        """Return the key of an app's running totals on one UTC day (`20261121`)."""
        return f"{self.tag(app)}usage:{app}:{day}"
