"""The parts of a form that meters of uploads need: one file, fed on as it passes, and some short fields."""

from __future__ import annotations

from middlewares.exchange import Headers
from middlewares.usage_tracker.media.formdata import FormReader, Sink

NUMBER_BYTES = 16
"""Most digits of a number in a form field; a longer one is ignored."""


class Form:
    """Reads a form as it passes. The first file and the first field of each name count, as for the gateway."""

    __slots__ = ("_fields", "_file", "_reader", "_sink", "size")

    def __init__(
        self, headers: Headers, fields: tuple[str, ...] = (), *, file: str = "", sink: Sink | None = None
    ) -> None:
        """`headers` are the request's; `sink` is fed the bytes of the file named `file`."""
        self._file = file
        self._sink = sink
        self._fields: dict[str, bytearray | None] = dict.fromkeys(fields)
        self._reader = FormReader(headers, self._choose)
        self.size = 0
        """Bytes of the whole form."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the request."""
        self.size += len(chunk)
        self._reader.feed(chunk)

    def number(self, name: str, default: int, most: int) -> int:
        """Return a form field from 1 to `most`; `default` if it is missing or another value, which no runner takes."""
        value = self._fields[name]
        if value is None or len(value) > NUMBER_BYTES or not value.isdigit():
            return default
        number = int(value)
        return number if 1 <= number <= most else default

    def _choose(self, name: str, is_file: bool) -> Sink | None:
        if is_file:
            sink = self._sink if name == self._file else None
            if sink is not None:
                self._sink = None
            return sink
        if name in self._fields and self._fields[name] is None:
            value = self._fields[name] = bytearray()
            return lambda data: value.extend(data[: NUMBER_BYTES + 1 - len(value)])
        return None
