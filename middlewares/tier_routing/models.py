"""The response to GET /v1/models: which chat models a client may name, in the format of OpenAI clients."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from starlette.types import Send

from middlewares.exchange import Principal


async def send_models(models: Iterable[str], principal: Principal, send: Send) -> None:
    """Respond with those of `models` that the credential may use. Nothing is forwarded."""
    usable = sorted(models if principal.models is None else principal.models.intersection(models))
    data = [{"id": model, "object": "model", "created": 0, "owned_by": "gateway"} for model in usable]
    body = msgspec.json.encode({"object": "list", "data": data})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
