"""Refusals by a limit, with the numbers by which a client can decide what to do."""

from middlewares.exchange import Headers, Refusal
from middlewares.ledger.model import Denied, LimitState

STATUS = {
    "rate_limited": 429,
    "concurrency_limited": 429,
    "plan_limit": 402,
    "key_limit": 402,
    "insufficient_balance": 402,
}
UNAVAILABLE_RETRY_SECONDS = 2
CONCURRENCY_RETRY_SECONDS = 1
CLAIM_RETRY_SECONDS = 1


def limit_refusal(denied: Denied, *, close: bool = False) -> Refusal:
    """Return the 429 or 402 of a rule that refuses, with rule, limit, remaining and reset as RFC 9457 members.

    `close`: the body has not been read, so that nothing after it can be.
    """
    limit_state, limit_spec = denied.limit_state, denied.limit_state.limit_spec
    status = STATUS[denied.code]
    headers: Headers = []
    if status == 429:
        wait = limit_state.reset_seconds or CONCURRENCY_RETRY_SECONDS
        headers.append((b"retry-after", b"%d" % wait))
    members = {
        "policy": limit_spec.policy,
        "unit": limit_spec.unit,
        "limit": str(limit_spec.limit) if limit_spec.unit == "amount" else limit_spec.limit,
        "remaining": str(limit_state.remaining) if limit_spec.unit == "amount" else limit_state.remaining,
        "reset": limit_state.reset_seconds,
        "violated-policies": [limit_spec.policy],
    }
    return Refusal(
        status, denied.code, _detail(denied.code, limit_state), headers=headers, members=members, close=close
    )


def _detail(code: str, limit_state: LimitState) -> str:
    limit_spec = limit_state.limit_spec
    if code == "rate_limited":
        return (
            f"At most {limit_spec.limit} requests are allowed in {limit_spec.window_seconds} seconds "
            f"({limit_spec.policy}). Try again in {limit_state.reset_seconds} seconds."
        )
    if code == "concurrency_limited":
        return f"At most {limit_spec.limit} requests may run at once ({limit_spec.policy}). Wait for one to finish."
    if code == "plan_limit":
        return (
            f"The plan includes {limit_spec.limit} {limit_spec.unit} per period ({limit_spec.policy}); "
            f"{limit_state.remaining} are left, which this request may exceed. "
            f"The period ends in {limit_state.reset_seconds} seconds."
        )
    if code == "key_limit":
        ends = f"The period ends in {limit_state.reset_seconds} seconds." if limit_state.reset_seconds else ""
        return (
            f"The key itself may spend {limit_spec.limit} ({limit_spec.policy}); {limit_state.remaining} are left, "
            f"which this request may exceed. {ends or 'This cap has no period: only a higher one lets it go on.'}"
        )
    return f"The prepaid balance leaves {limit_state.remaining}, which this request may exceed. Add credit to go on."


def claim_lost() -> Refusal:
    """Return the 409 of a request whose idempotency key another one has by now."""
    return Refusal(
        409,
        "idempotency_in_flight",
        "Another request with this Idempotency-Key came first, as this one took too long to arrive.",
        headers=[(b"retry-after", b"%d" % CLAIM_RETRY_SECONDS)],
    )


def store_unavailable(*, close: bool = False) -> Refusal:
    """Return the 503 of a request that its plan does not admit while Redis is unavailable."""
    return Refusal(
        503,
        "store_unavailable",
        "Limits and balances cannot be checked right now. Nothing was forwarded and nothing is charged.",
        headers=[(b"retry-after", b"%d" % UNAVAILABLE_RETRY_SECONDS)],
        close=close,
    )
