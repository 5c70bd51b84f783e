"""The ways in which an exchange with a gateway can fail.

Every failure says whether any byte of the request may have reached the gateway. The client never sends anything
twice: only the caller knows whether a second attempt is safe.
"""

from typing import ClassVar


class InvalidRequest(ValueError):
    """The request cannot be put on the wire without becoming a different one. Nothing was sent."""


class UpstreamError(Exception):
    """An exchange with a gateway failed.

    Attributes:
        origin: ``host:port`` of the gateway.
        request_sent: True if any byte of the request may have been handed to the network.
    """

    request_sent: ClassVar[bool] = True

    def __init__(self, origin: str, reason: str) -> None:
        super().__init__(f"{origin}: {reason}")
        self.origin = origin


class PoolExhausted(UpstreamError):
    """Every connection is in use, and the queue for one is full, or the wait in it took too long."""

    request_sent = False


class ConnectFailed(UpstreamError):
    """No connection: refused, unreachable, name not found, or lost as soon as it opened."""

    request_sent = False


class ConnectTimeout(ConnectFailed):
    """No connection within ``Timeouts.connect``."""


class ConnectionDropped(UpstreamError):
    """The gateway closed the connection without one byte of a response.

    A go-livepeer handler that panics does exactly this (gateway contract section 1.0).

    Attributes:
        reused: True if the connection had carried a response before. Then the gateway may have closed it while idle,
            just as the request was written, and may never have read the request.
    """

    def __init__(self, origin: str, reason: str, *, reused: bool) -> None:
        super().__init__(origin, reason)
        self.reused = reused


class FirstByteTimeout(UpstreamError):
    """No complete response head within ``Timeouts.first_byte``."""


class IdleTimeout(UpstreamError):
    """No byte of the response body within ``Timeouts.idle`` of asking for one."""


class ResponseTruncated(UpstreamError):
    """The connection ended inside the response, or its reader closed it early."""


class MalformedResponse(UpstreamError):
    """The response breaks the framing of RFC 9112, or one of the client's limits on it."""


class RequestIncomplete(UpstreamError):
    """The source of the request body gave fewer or more bytes than declared, or was cancelled."""
