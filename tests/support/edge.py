"""The edge stage as a worker has it, before an application of the test's."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp

from config.access import Edge
from middlewares.body_buffers import BodyBuffers
from middlewares.edge.middleware import EdgeMiddleware
from middlewares.edge.upload import PictureReader
from middlewares.large_json import LargeJson


def edge_before(app: ASGIApp, settings: Edge, picture: Callable[[], PictureReader] | None = None) -> EdgeMiddleware:
    """Return the edge with buffers of its own."""
    buffers = BodyBuffers(settings.buffered_bytes, settings.buffered_bytes_per_app)
    return EdgeMiddleware(app, settings=settings, buffers=buffers, large_json=LargeJson(), picture=picture)
