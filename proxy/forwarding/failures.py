"""Failures of a gateway as problem documents for its client."""

from middlewares.exchange import Refusal
from middlewares.tier_routing.drops import DropReason
from proxy.upstream import (
    ConnectFailed,
    ConnectionDropped,
    ConnectTimeout,
    FirstByteTimeout,
    IdleTimeout,
    MalformedResponse,
    PoolExhausted,
    RequestIncomplete,
    ResponseTruncated,
    UpstreamError,
)

_FAILURES: tuple[tuple[type[UpstreamError], tuple[int, str, str]], ...] = (
    (ConnectTimeout, (504, "gateway_connect_timeout", "No gateway could be connected in time. Nothing was sent.")),
    (ConnectFailed, (502, "gateway_unreachable", "No gateway could be reached. Nothing was sent.")),
    (PoolExhausted, (503, "gateway_busy", "All connections to the gateway are busy. Nothing was sent; try again.")),
    (ConnectionDropped, (502, "gateway_dropped", "The gateway closed the connection without a response.")),
    (FirstByteTimeout, (504, "gateway_timeout", "The gateway did not begin its response in time.")),
    (IdleTimeout, (504, "gateway_stalled", "The gateway stopped in the middle of its response.")),
    (ResponseTruncated, (502, "gateway_truncated", "The gateway's response ended before it was complete.")),
    (RequestIncomplete, (400, "request_incomplete", "The request body is shorter or longer than its declared length.")),
    (MalformedResponse, (502, "gateway_malformed", "The gateway's response is not valid HTTP.")),
)
_OTHER = (502, "gateway_failed", "The gateway failed to respond.")

_DROPS: dict[DropReason, tuple[int, str, str]] = {
    DropReason.UNKNOWN_MODEL: (
        422,
        "unknown_model",
        "The gateway dropped the request and serves others. The model is not among those that are offered here.",
    ),
    DropReason.UNDECODABLE_IMAGE: (
        422,
        "undecodable_image",
        "The gateway dropped the request and serves others. The image is of no format that can be read.",
    ),
    DropReason.OVERLOAD: (
        503,
        "gateway_overloaded",
        "The gateway dropped the request while it works for others with the same model; try again.",
    ),
}
"""Drops whose likely cause is known; all others are `gateway_dropped`."""


def refusal_of(error: UpstreamError, dropped: DropReason = DropReason.UNKNOWN) -> Refusal:
    """Return the refusal for a gateway's failure; its code also stands in the log and the usage event.

    `dropped` is the likely cause of a `ConnectionDropped`.
    """
    failure = next((failure for kind, failure in _FAILURES if isinstance(error, kind)), _OTHER)
    status, code, detail = _DROPS.get(dropped, failure)
    return Refusal(status, code, detail, headers=[(b"retry-after", b"1")] if status == 503 else None)
