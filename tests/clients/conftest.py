"""One deployment for clients that none of us wrote."""

from tests.api.conftest import app, http, running

__all__ = ["app", "http", "running"]
