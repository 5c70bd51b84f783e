"""How many bytes of request bodies a worker keeps in memory at once, of all apps and of each."""

from __future__ import annotations

from middlewares.exchange import Exchange, Refusal

RETRY_SECONDS = 1


class BodyBuffers:
    """Counts the bodies that stages read before they pass them on, from their first byte to the end of the request.

    Bodies that stream through are not among them: each is bounded by the flow control of its connection.
    """

    def __init__(self, worker_bytes: int, app_bytes: int) -> None:
        self._worker_bytes = worker_bytes
        self._app_bytes = app_bytes
        self._apps: dict[str, int] = {}
        self.total = 0
        """Bytes that are kept now."""

    def take(self, exchange: Exchange, size: int) -> None:
        """Count `size` more bytes that the request keeps. The principal has to be known.

        Raises `Refusal`: 429 where its app has too much in memory already, 503 where all apps together have.
        """
        assert exchange.principal is not None  # noqa: S101 - bodies of unknown callers are not read
        app = exchange.principal.app
        kept = self._apps.get(app, 0) + size
        if kept > self._app_bytes:
            raise _full(429, "app_buffer_full", "app-buffered-bytes", self._app_bytes, "of this app")
        if self.total + size > self._worker_bytes:
            raise _full(503, "worker_buffer_full", "worker-buffered-bytes", self._worker_bytes, "of all apps together")
        self._apps[app] = kept
        self.total += size
        exchange.buffered += size

    def give_back(self, exchange: Exchange) -> None:
        """Count what the request keeps no more; nothing where it keeps nothing."""
        if not exchange.buffered or exchange.principal is None:
            return
        app = exchange.principal.app
        self.total -= exchange.buffered
        self._apps[app] -= exchange.buffered
        exchange.buffered = 0
        if not self._apps[app]:
            del self._apps[app]


def _full(status: int, code: str, policy: str, limit: int, whose: str) -> Refusal:
    return Refusal(
        status,
        code,
        f"Request bodies {whose} fill the {limit} bytes that a worker keeps for them ({policy}). Send this one again "
        "when others have passed.",
        headers=[(b"retry-after", b"%d" % RETRY_SECONDS)],
        members={"policy": policy, "unit": "bytes", "limit": limit, "remaining": 0, "reset": RETRY_SECONDS},
        close=True,
    )
