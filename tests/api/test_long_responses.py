"""Documents as long as tenants make them: thousands of keys, or of models that clients named."""

from __future__ import annotations

import asyncio
import threading

from pydantic import BaseModel

from proxy.api.json_api import long_response
from tests.support.raw_http import TIMEOUT_SECONDS


class Document(BaseModel):
    items: list[str]


async def test_a_long_document_holds_up_nobody_else() -> None:
    """Hazard: a worker that writes megabytes for one caller serves nobody else for seconds."""
    others_had_their_turn = threading.Event()

    def compose() -> Document:
        assert others_had_their_turn.wait(TIMEOUT_SECONDS)
        return Document(items=["é", "b"])

    asyncio.get_running_loop().call_soon(others_had_their_turn.set)
    response = await long_response(compose)
    assert response.body == '{"items":["é","b"]}'.encode()
    assert response.headers["content-type"] == "application/json"
