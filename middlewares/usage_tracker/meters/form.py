"""The parts of a form that meters of uploads need: one file, fed on as it passes, and some short fields."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from middlewares.exchange import Headers
from middlewares.forms.grammar import FormError, PartHead, form_boundary, go_integer
from middlewares.forms.reader import FormReader

NUMBER_BYTES = 64
"""Most bytes of a number in a form; the edge has refused longer ones."""

Sink = Callable[[bytes], None]


class Form:
    """Reads a form as it passes. The first file and the first field of each name count, as for the gateway.

    What is no form has no parts: the edge has refused it.
    """

    __slots__ = ("_fields", "_file", "_reader", "_sink", "_take", "size")

    def __init__(
        self, headers: Headers, fields: tuple[str, ...] = (), *, file: str = "", sink: Sink | None = None
    ) -> None:
        """`headers` are the request's; `sink` is fed the bytes of the file named `file`."""
        self._file = file.encode()
        self._sink = sink
        self._fields: dict[bytes, bytearray | None] = {name.encode(): None for name in fields}
        self._take: Sink | None = None
        self.size = 0
        """Bytes of the whole form."""
        self._reader: FormReader | None = None
        with suppress(FormError):
            if boundary := form_boundary(headers):
                self._reader = FormReader(boundary, self)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the request."""
        self.size += len(chunk)
        if self._reader is not None:
            try:
                self._reader.feed(chunk)
            except FormError:
                self._reader = None

    def number(self, name: str, default: int, most: int) -> int:
        """Return a field as Go reads it, at most `most`; `default` where it is missing, no number, or not positive."""
        value = self._fields[name.encode()]
        number = None if value is None else go_integer(bytes(value))
        return min(number, most) if number is not None and number > 0 else default

    def begin_part(self, head: PartHead) -> bool:
        """Want the file, and the fields."""
        self._take = None
        if head.is_file:
            if head.name == self._file:
                self._take, self._sink = self._sink, None
        elif head.name in self._fields and self._fields[head.name] is None:
            value = self._fields[head.name] = bytearray()
            self._take = lambda data: value.extend(data[: NUMBER_BYTES + 1 - len(value)])
        return self._take is not None

    def part_data(self, data: bytes) -> None:
        """Hand content to whoever wants it."""
        if self._take is not None:
            self._take(data)

    def end_part(self, head: PartHead) -> None:
        """Need nothing at the end of a part."""
