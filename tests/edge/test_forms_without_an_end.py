"""A form whose body goes on behind its last boundary, or never ends: a gateway begins to work at that boundary."""

from __future__ import annotations

import pytest
from starlette.types import Message

from config.access import Edge
from config.plans import Plan
from middlewares.body_buffers import BodyBuffers
from middlewares.edge.body import BodySource
from middlewares.edge.body_peeking import FormBody
from middlewares.edge.form import EPILOGUE_BYTES
from middlewares.exchange import Exchange, Principal, Refusal
from middlewares.routes import BY_NAME
from tests.edge.test_forms import IMAGE, MODEL, form
from tests.forwarding.fakes import FakeConnection

HEAD = form((MODEL, b"m"), end=b"")[: -len(b"--b")]
REST = form((IMAGE, b"x"))
FORM = HEAD + REST


async def received(*parts: bytes, left: bool = False) -> list[Message]:
    """What later stages get of a body in these parts, whose client leaves in the end or sends it all."""
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.disconnect"} if left else {"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        return messages.pop(0)

    route = BY_NAME["image-to-image"]
    principal = Principal("a", None, None, "p", Plan())
    exchange = Exchange("id", 0.0, "POST", "/image-to-image", route=route, principal=principal)
    source = BodySource(receive, FakeConnection(), BodyBuffers(1 << 20, 1 << 20), small=False)
    body = FormBody(exchange, route, source, Edge(), boundary=b"b")
    await body.declare()
    given = [await body.receive()]
    while given[-1].get("more_body", False):
        given.append(await body.receive())
    return given


@pytest.mark.parametrize("parts", [(FORM,), (HEAD, REST), (FORM, b"\r\n"), (HEAD, REST[:-3], REST[-3:], b"epilogue")])
async def test_the_last_boundary_passes_with_the_end_of_the_body(parts: tuple[bytes, ...]) -> None:
    given = await received(*parts)
    assert b"".join(message["body"] for message in given) == b"".join(parts)
    assert [b"--b--\r\n" in message["body"] for message in given[:-1]] == [False] * (len(given) - 1)


@pytest.mark.parametrize("parts", [(FORM,), (HEAD, REST), (HEAD, REST, b"\r")])
async def test_a_client_that_leaves_before_the_end_of_its_body_has_begun_no_work(parts: tuple[bytes, ...]) -> None:
    """It was charged nothing, for its request was not complete; the gateway made the whole image all the same."""
    *given, last = await received(*parts, left=True)
    assert last["type"] == "http.disconnect"
    assert b"--b--\r\n" not in b"".join(message["body"] for message in given)


async def test_an_epilogue_without_end_is_refused() -> None:
    with pytest.raises(Refusal, match="follow its last boundary"):
        await received(FORM, *[bytes(1_000)] * (EPILOGUE_BYTES // 1_000 + 1))
