"""Large JSON bodies: checked for their structure before they are parsed, and parsed beside the event loop.

So are large responses rewritten that are rewritten as a whole: what clients send may be in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from middlewares.exchange import Refusal
from middlewares.json_codec import outside_strings, without_escapes

T = TypeVar("T")

CHECKED_BYTES = 8_192
"""Up to this size a body cannot have so many values that it matters."""
THREAD_BYTES = 131_072
"""Above this size a body is parsed in a thread."""

MAX_VALUES = 20_000
"""Most members and elements of a large body. A chat of 4,000 messages has fewer; 4 MiB of `[],` are 1.4 million."""

_NO_STRUCTURE = bytes(set(range(256)) - set(b"[{,:"))


class LargeJson:
    """Parses bodies of any size, one large body at a time.

    A thread lets the event loop have its turns between the steps of a parse; `check_structure` bounds each step to some
    milliseconds, for a step in C keeps the interpreter to itself.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="json")
        self._rewriting = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rewrite")  # takes longer than a parse

    async def parse(self, body: bytes, parse: Callable[[bytes], T]) -> T:
        """Return `parse(body)`. Raises what it raises, and `Refusal` (413) for more than `MAX_VALUES` values."""
        if len(body) <= THREAD_BYTES:
            return _checked(parse, body)
        return await asyncio.get_running_loop().run_in_executor(self._thread, _checked, parse, body)

    async def rewrite(self, text: bytes, rewrite: Callable[[bytes], bytes]) -> bytes:
        """Return `rewrite(text)`, whatever is in it. Its steps in C have to be short ones by themselves."""
        if len(text) <= CHECKED_BYTES:
            return rewrite(text)
        return await asyncio.get_running_loop().run_in_executor(self._rewriting, rewrite, text)


def _checked(parse: Callable[[bytes], T], body: bytes) -> T:
    if len(body) > CHECKED_BYTES:
        check_structure(body)
    return parse(body)


def check_structure(body: bytes) -> None:
    """Raise `Refusal` (413) for a body that has more than `MAX_VALUES` values, be it valid JSON or not.

    Takes half a millisecond for each MiB of text, and 3 of text that looks like structure.
    """
    if _marks(body) <= MAX_VALUES:  # those in strings included, which may have any number of them
        return
    body = without_escapes(body)
    # Each string is a value or names one, so that more of them are enough to know.
    if body.count(b'"') > 4 * MAX_VALUES or _marks(outside_strings(body)) > MAX_VALUES:
        detail = (
            f"The body may have at most {MAX_VALUES} members and elements; send its contents as fewer, longer texts."
        )
        raise Refusal(413, "body_too_large", detail)


def _marks(text: bytes) -> int:
    """Return how many characters of `text` begin a list, an object, another element, or the value of a member."""
    return len(text.translate(None, _NO_STRUCTURE))
