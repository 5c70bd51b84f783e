"""The limits of a request, as `RateLimit-Policy` and `RateLimit` fields (draft-ietf-httpapi-ratelimit-headers).

Only windows of requests and concurrency are told; caps and balances are matters of the account, and a shadow limit
limits nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from middlewares.exchange import Headers
from middlewares.ledger.model import Standing, Terms

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
        terms = standing.terms
        told = terms.told
        if told is None:
            told = terms.told = _item(terms)
        if not told:
            continue
        policies.append(told)
        name, remaining, reset = terms.policy, standing.remaining, standing.reset_seconds
        if not 0 <= remaining <= INTEGER_CEILING:
            remaining = 0 if remaining < 0 else INTEGER_CEILING
        states.append(f'"{name}";r={remaining};t={reset}' if reset > 0 else f'"{name}";r={remaining}')
    if not policies:
        return []
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(states).encode())]


def _item(terms: Terms) -> str:
    """The limit's item of `RateLimit-Policy`; empty for one that is not told."""
    if terms.shadow or terms.unit not in _TOLD:
        return ""
    item = f'"{terms.policy}";q={min(terms.limit, INTEGER_CEILING)}'
    if terms.window_seconds is not None:
        item += f";w={terms.window_seconds}"
    if terms.unit != REQUESTS:  # the default of `qu`
        item += f';qu="{terms.unit}"'
    return item
