"""One deployment of two workers for the tests of the issuer."""

from tests.api.conftest import app, http, running

__all__ = ["app", "http", "running"]
