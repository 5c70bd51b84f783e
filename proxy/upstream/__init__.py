"""The HTTP/1.1 client of the data path.

There is one :class:`ConnectionPool` per gateway; ``await pool.send(...)`` returns a :class:`Response` to be read part
by part, both directions streaming with backpressure. Nothing is sent twice,
followed, decompressed or buffered beyond 64 KiB.
"""

from proxy.upstream.errors import (
    ConnectFailed,
    ConnectionDropped,
    ConnectTimeout,
    FirstByteTimeout,
    IdleTimeout,
    InvalidRequest,
    MalformedResponse,
    PoolExhausted,
    RequestIncomplete,
    ResponseTruncated,
    UpstreamError,
)
from proxy.upstream.pool import ConnectionPool
from proxy.upstream.response import Response
from proxy.upstream.timing import Timeouts

__all__ = [
    "ConnectFailed",
    "ConnectTimeout",
    "ConnectionDropped",
    "ConnectionPool",
    "FirstByteTimeout",
    "IdleTimeout",
    "InvalidRequest",
    "MalformedResponse",
    "PoolExhausted",
    "RequestIncomplete",
    "Response",
    "ResponseTruncated",
    "Timeouts",
    "UpstreamError",
]
