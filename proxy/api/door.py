"""The door of the public listener: control surfaces on one side, the pipeline on the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send


class Surface(NamedTuple):
    """One row of the table: the application for a path and everything below it."""

    path: bytes
    """Start of the request target, whole segments, for example `/api/v1`."""
    label: str
    """Route label in logs and metrics; empty where the application sets one itself, as the pipeline does."""
    app: ASGIApp


class Door:
    """Hand each request to the first surface whose path its target is or is below, every other one to the pipeline.

    Targets are compared byte by byte as they were received, as the route table compares them: `/%61pi/v1` is not
    `/api/v1`. Either side refuses targets that another reader could normalise into a different path, so that no
    spelling reaches the wrong side.
    """

    def __init__(self, pipeline: ASGIApp, surfaces: Sequence[Surface]) -> None:
        self.pipeline = pipeline
        self.surfaces = surfaces
        self._paths = tuple(surface.path for surface in surfaces)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.pipeline
        if scope["type"] == "http" and scope["tollgate.target"].startswith(self._paths):
            surface = self.surface_of(scope["tollgate.target"])
            if surface is not None:
                exchange = scope["tollgate.exchange"]
                exchange.surface, exchange.surface_path = surface.label, surface.path.decode()
                app = surface.app
        await app(scope, receive, send)

    def surface_of(self, target: bytes) -> Surface | None:
        """Return the surface that serves this request target; None: the pipeline does."""
        path, _, _ = target.partition(b"?")
        for surface in self.surfaces:
            if path == surface.path or path.startswith(surface.path + b"/"):
                return surface
        return None
