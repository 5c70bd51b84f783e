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

_TOLD = (REQUESTS, CONCURRENT_REQUESTS)

INTEGER_CEILING = 10**15 - 1
"""The largest Integer of a structured field (RFC 9651 section 3.3.1)."""


def limit_fields(standings: Iterable[Standing]) -> Headers:
    """Both fields for the limits of a request; none where it has none."""
    policies: list[str] = []
    states: list[str] = []
    for standing in standings:
        if standing.shadow or standing.unit not in _TOLD:
            continue
        name = standing.policy
        policies.append(_item(name, standing.unit, standing.limit, standing.window_seconds))
        remaining, reset = standing.remaining, standing.reset_seconds
        if not 0 <= remaining <= INTEGER_CEILING:
            remaining = 0 if remaining < 0 else INTEGER_CEILING
        states.append(f'"{name}";r={remaining};t={reset}' if reset > 0 else f'"{name}";r={remaining}')
    if not policies:
        return []
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(states).encode())]


@lru_cache(maxsize=4096)
def _item(policy: str, unit: str, limit: int, window: int | None) -> str:
    """The policy's item of `RateLimit-Policy`, which does not change from request to request."""
    item = f'"{policy}";q={min(limit, INTEGER_CEILING)}'
    if window is not None:
        item += f";w={window}"
    if unit != REQUESTS:  # the default of `qu`
        item += f';qu="{unit}"'
    return item
