"""Refusals by limit, in words and numbers a client can act on."""

from middlewares.exchange import Headers, Refusal
from middlewares.ledger.model import Denied, Standing

STATUS = {"rate_limited": 429, "concurrency_limited": 429, "plan_limit": 402, "insufficient_balance": 402}
UNAVAILABLE_RETRY_SECONDS = 2
CONCURRENCY_RETRY_SECONDS = 1


def refusal_of(denied: Denied) -> Refusal:
    """The 429 or 402 for a rule that refuses: rule, limit, remaining, reset (RFC 9457 members)."""
    standing, terms = denied.standing, denied.standing.terms
    status = STATUS[denied.code]
    headers: Headers = []
    if status == 429:
        wait = standing.reset_seconds or CONCURRENCY_RETRY_SECONDS
        headers.append((b"retry-after", b"%d" % wait))
    members = {
        "policy": terms.policy,
        "unit": terms.unit,
        "limit": str(terms.limit) if terms.unit == "amount" else terms.limit,
        "remaining": str(standing.remaining) if terms.unit == "amount" else standing.remaining,
        "reset": standing.reset_seconds,
        "violated-policies": [terms.policy],
    }
    return Refusal(status, denied.code, _detail(denied.code, standing), headers=headers, members=members)


def _detail(code: str, standing: Standing) -> str:
    terms = standing.terms
    if code == "rate_limited":
        return (
            f"At most {terms.limit} requests are allowed in {terms.window_seconds} seconds "
            f"({terms.policy}). Try again in {standing.reset_seconds} seconds."
        )
    if code == "concurrency_limited":
        return f"At most {terms.limit} requests may run at once ({terms.policy}). Wait for one to finish."
    if code == "plan_limit":
        return (
            f"The plan includes {terms.limit} {terms.unit} per period ({terms.policy}); {standing.remaining} "
            f"are left, which this request may exceed. The period ends in {standing.reset_seconds} seconds."
        )
    return f"The prepaid balance leaves {standing.remaining}, which this request may exceed. Add credit to go on."


def unavailable() -> Refusal:
    """The 503 for plans that must not be served on a guess while the ledger is away."""
    return Refusal(
        503,
        "store_unavailable",
        "Limits and balances cannot be checked right now. Nothing was forwarded and nothing is charged.",
        headers=[(b"retry-after", b"%d" % UNAVAILABLE_RETRY_SECONDS)],
    )
