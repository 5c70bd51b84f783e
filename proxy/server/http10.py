"""What uvicorn would say to an HTTP/1.0 client that such a client cannot read."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_BODILESS = (204, 304)


class UntilClose:
    """An application for one HTTP/1.0 request: answers of unknown length end with the connection.

    No chunks (RFC 9112 section 6.1) and no interim answers (RFC 9110 section 15.2).
    """

    def __init__(self, app: ASGIApp, cycle: RequestResponseCycle) -> None:
        self._app = app
        self._cycle = cycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cycle = self._cycle
        cycle.waiting_for_100_continue = False
        unframed = False

        async def send_unframed(message: Message) -> None:
            nonlocal unframed
            if message["type"] == "http.response.start":
                unframed = message["status"] not in _BODILESS and not _has_length(message)
                if unframed:
                    cycle.chunked_encoding = False
                    cycle.keep_alive = False
            elif unframed:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, send_unframed)


def _has_length(message: Message) -> bool:
    return any(name == b"content-length" for name, _ in message["headers"])
