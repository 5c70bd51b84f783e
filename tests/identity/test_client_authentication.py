"""Hazard: whoever has no secret fills the memory of a worker with names of clients."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from middlewares.exchange import Refusal
from proxy.control.apps import Apps
from proxy.identity.client_authentication import ClientAuthentication, ClientSecret

NAME_CHARACTERS = 100_000
NAMES = 50


async def test_names_that_no_client_can_have_are_not_remembered() -> None:
    no_redis: Any = None
    clients = ClientAuthentication(Apps(no_redis, None), failures_per_minute=30)
    tracemalloc.start()
    try:
        for number in range(NAMES):
            sent = ClientSecret(f"app_{number:0{NAME_CHARACTERS}}", "tgs_no")
            with pytest.raises(Refusal, match="unknown"):
                await clients.authenticate(sent, f"192.0.2.{number}")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < NAMES * NAME_CHARACTERS / 10
