"""Finds the model in a form as it arrives."""

from __future__ import annotations

from starlette.types import Message, Receive

from middlewares.client_text import MAX_BYTES, too_long
from middlewares.edge.upload import UploadReader
from middlewares.exchange import Headers, Refusal
from middlewares.forms.grammar import FormError, PartHead, form_boundary
from middlewares.forms.reader import FormReader

FIELD = b"model_id"
EPILOGUE_BYTES = 65_536
"""Bytes behind the last boundary, which nobody reads."""


def malformed_form(reason: str) -> Refusal:
    """Return the refusal (400) of a form that two readers could read in two ways."""
    return Refusal(400, "malformed_form", f"The body must be a multipart form: {reason}.", close=True)


def boundary_of(headers: Headers) -> bytes | None:
    """Return the boundary of a form; None for a body of another kind. Raises `Refusal` (400)."""
    try:
        return form_boundary(headers)
    except FormError as error:
        raise malformed_form(str(error)) from None


def model_part(boundary: bytes, model: str) -> bytes:
    """Return a part that names the model, to be put before the first one of the client."""
    head = b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n' % (boundary, FIELD)
    return head + model.encode() + b"\r\n"


async def with_epilogue(last: Message, receive: Receive) -> Message:
    """Return `last`, which holds the last boundary of a form, together with what follows it in the body.

    At that boundary the gateway begins its work, and a client that leaves before the end of its body ends none of it:
    Go looks for that only where a body has been read to its end. Raises `Refusal` (400) for an endless epilogue.
    """
    body, message = bytearray(last["body"]), last
    most = len(body) + EPILOGUE_BYTES
    while message.get("more_body", False):
        message = await receive()
        if message["type"] != "http.request":
            return message
        body += message.get("body", b"")
        if len(body) > most:
            raise malformed_form(f"more than {EPILOGUE_BYTES} bytes follow its last boundary")
    return {"type": "http.request", "body": bytes(body), "more_body": False}


class ModelFinder:
    """Reads a form as it passes, checks every head, and finds the first `model_id`, as Go does.

    Parts that name no model are handed to `upload`, if it is given.
    """

    def __init__(self, boundary: bytes, upload: UploadReader | None = None) -> None:
        self._upload = upload
        self._reader = FormReader(boundary, self)
        self._value: bytearray | None = None
        self.model: str | None = None
        """The model; empty where the form names none; None as long as neither is known."""

    @property
    def complete(self) -> bool:
        """True if the whole form has passed."""
        return self._reader.complete

    @property
    def opening(self) -> int:
        """Where in the body the first boundary begins."""
        return self._reader.opening

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body. Raises `Refusal` (400)."""
        try:
            self._reader.feed(chunk)
        except FormError as error:
            raise malformed_form(str(error)) from None
        self._conclude()

    def finish(self) -> None:
        """Take note that the body has ended. Raises `Refusal` (400) where the form has not."""
        try:
            self._reader.finish()
        except FormError as error:
            raise malformed_form(str(error)) from None
        self._conclude()

    def _conclude(self) -> None:
        if self.model is None and self._reader.complete:
            self.model = ""

    def begin_part(self, head: PartHead) -> bool:
        """Want the first value that names the model."""
        if self.model is None and head.name == FIELD and not head.is_file:
            self._value = bytearray()
            return True
        return self._upload is not None and self._upload.begin_part(head)

    def part_data(self, data: bytes) -> None:
        """Keep the model's name, or what `upload` wants."""
        if self._value is not None:
            self._value += data
            if len(self._value) > MAX_BYTES:
                raise too_long(FIELD.decode())
        elif self._upload is not None:
            self._upload.part_data(data)

    def end_part(self, head: PartHead) -> None:
        """Read the model's name, or what `upload` wants."""
        if self._value is not None:
            try:
                self.model = self._value.decode()
            except UnicodeDecodeError:
                raise FormError("its `model_id` is not UTF-8") from None
            self._value = None
        elif self._upload is not None:
            self._upload.end_part()
