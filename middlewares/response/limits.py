"""The limits of a request, as `RateLimit-Policy` and `RateLimit` fields (draft-ietf-httpapi-ratelimit-headers).

Only windows of requests and concurrency are told; caps and balances are matters of the account, and a shadow limit
limits nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from middlewares.exchange import Headers
from middlewares.ledger.model import Standing

REQUESTS = "requests"
CONCURRENT_REQUESTS = "concurrent-requests"

INTEGER_CEILING = 10**15 - 1
"""The largest Integer of a structured field (RFC 9651 section 3.3.1)."""


def limit_fields(standings: Iterable[Standing]) -> Headers:
    """Both fields for the limits of a request; none where it has none."""
    policies: list[bytes] = []
    states: list[bytes] = []
    for standing in standings:
        if standing.shadow or standing.unit not in (REQUESTS, CONCURRENT_REQUESTS):
            continue
        policy, prefix = _constant(standing.policy, standing.unit, standing.limit, standing.window_seconds)
        policies.append(policy)
        remaining = min(max(standing.remaining, 0), INTEGER_CEILING)
        if standing.reset_seconds > 0:
            states.append(b"%b%d;t=%d" % (prefix, remaining, standing.reset_seconds))
        else:
            states.append(b"%b%d" % (prefix, remaining))
    if not policies:
        return []
    return [(b"ratelimit-policy", b", ".join(policies)), (b"ratelimit", b", ".join(states))]


@lru_cache(maxsize=4096)
def _constant(policy: str, unit: str, limit: int, window: int | None) -> tuple[bytes, bytes]:
    """What does not change from request to request: the policy's item, and its state up to the remaining quota."""
    name = f'"{policy}"'
    item = f"{name};q={min(limit, INTEGER_CEILING)}"
    if window is not None:
        item += f";w={window}"
    if unit != REQUESTS:  # the default of `qu`
        item += f';qu="{unit}"'
    return item.encode(), f"{name};r=".encode()
