"""All documents of an operation that returns them by page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

MOST = 1_000
"""Documents of one page."""


class _Dated(Protocol):
    @property
    def created_at(self) -> datetime: ...


Item = TypeVar("Item", bound=_Dated)
Item_co = TypeVar("Item_co", bound=_Dated, covariant=True)


class _Page(Protocol[Item_co]):
    @property
    def items(self) -> Sequence[Item_co]: ...
    @property
    def next(self) -> str | None: ...


async def oldest_first(page: Callable[[str, int], Awaitable[_Page[Item]]]) -> list[Item]:
    """Return the documents of all pages, oldest first."""
    found: list[Item] = []
    after: str | None = ""
    while after is not None:
        read = await page(after, MOST)
        found += read.items
        after = read.next
    return sorted(found, key=lambda each: each.created_at)
