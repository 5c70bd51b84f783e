"""A memo for pure functions that are called with every request."""

from collections.abc import Callable
from typing import TypeVar

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class BoundedCache(dict[Argument, Result]):
    """Results of a pure function by its argument: `cache[argument]` computes what is missing.

    Clients may choose arguments, so it keeps at most `room` of them: once full, it starts again from empty.
    `functools.lru_cache` wraps every argument that is neither text nor a number, and takes several times as long.
    """

    __slots__ = ("_function", "_room")

    def __init__(self, function: Callable[[Argument], Result], *, room: int) -> None:
        super().__init__()
        self._function = function
        self._room = room

    def __missing__(self, argument: Argument) -> Result:
        result = self._function(argument)
        if len(self) >= self._room:
            self.clear()
        self[argument] = result
        return result
