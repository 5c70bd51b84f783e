"""One deployment for what is made from the schema of the API."""

from tests.api.conftest import app, http, running

__all__ = ["app", "http", "running"]
