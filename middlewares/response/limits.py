"""The limits of a request, as the headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers).

Only windows of requests and concurrency are advertised; caps and balances are matters of the account, and a shadow
limit limits nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from middlewares.exchange import FallbackInUse, Headers
from middlewares.ledger.model import LimitSpec, LimitState

REQUESTS = "requests"
CONCURRENT_REQUESTS = "concurrent-requests"

_ADVERTISED = (REQUESTS, CONCURRENT_REQUESTS)

INTEGER_CEILING = 10**15 - 1
"""The largest Integer of a structured field (RFC 9651 section 3.3.1)."""


def limit_headers(limit_states: Iterable[LimitState]) -> Headers:
    """Return both headers for the limits of a request; none where it has no limits."""
    policies: list[str] = []
    states: list[str] = []
    for limit_state in limit_states:
        limit_spec = limit_state.limit_spec
        advertised = limit_spec.advertised
        if advertised is None:
            advertised = limit_spec.advertised = _item(limit_spec)
        if not advertised:
            continue
        policies.append(advertised)
        name, remaining, reset = limit_spec.policy, limit_state.remaining, limit_state.reset_seconds
        if not 0 <= remaining <= INTEGER_CEILING:
            remaining = 0 if remaining < 0 else INTEGER_CEILING
        states.append(f'"{name}";r={remaining};t={reset}' if reset > 0 else f'"{name}";r={remaining}')
    if not policies:
        return []
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(states).encode())]


def fallback_header(used: FallbackInUse) -> Headers:
    """Return `X-Tollgate-Fallback`, an Item of a structured field (RFC 9651 section 3.3).

    It names the limit that was exceeded, the code of the refusal, and the model that served the request instead.
    """
    value = f'"{used.denied.limit_state.policy}";code={used.denied.code}'
    if used.fallback.model:
        model = used.fallback.model.replace("\\", "\\\\").replace('"', '\\"')
        value += f';model="{model}"'
    return [(b"x-tollgate-fallback", value.encode())]


def _item(limit_spec: LimitSpec) -> str:
    """Return the limit's item of `RateLimit-Policy`; empty for one that is not advertised."""
    if limit_spec.shadow or limit_spec.unit not in _ADVERTISED:
        return ""
    item = f'"{limit_spec.policy}";q={min(limit_spec.limit, INTEGER_CEILING)}'
    if limit_spec.window_seconds is not None:
        item += f";w={limit_spec.window_seconds}"
    if limit_spec.unit != REQUESTS:  # the default of `qu`
        item += f';qu="{limit_spec.unit}"'
    return item
