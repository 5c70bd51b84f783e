"""Bound of short texts that clients choose: a model, a stream, an id. Pure.

Such a text becomes part of a key in Redis, a label, a log line and a record, once per request.
"""

from __future__ import annotations

from middlewares.exchange import Refusal

MAX_BYTES = 256
"""Longest such text, in bytes of UTF-8."""


def fits(text: str) -> bool:
    """Return True if `text` is no longer than `MAX_BYTES`."""
    return len(text) <= MAX_BYTES and (text.isascii() or len(text.encode(errors="surrogatepass")) <= MAX_BYTES)


def check_length(name: str, text: str) -> None:
    """Raise `Refusal` (400, `invalid_parameter`) for a text of the parameter `name` that is too long."""
    if len(text) > MAX_BYTES // 4 and not fits(text):  # shorter ones fit, whatever their characters
        raise too_long(name)


def too_long(name: str) -> Refusal:
    """Return the refusal of a parameter whose text is too long."""
    detail = f"`{name}` is longer than {MAX_BYTES} bytes."
    return Refusal(400, "invalid_parameter", detail, members={"parameter": name})
