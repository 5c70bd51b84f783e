"""A memo for pure functions that are called with every request."""

from collections.abc import Callable, Sized
from typing import TypeVar

Argument = TypeVar("Argument", bound=Sized)
Result = TypeVar("Result")

LONGEST_ARGUMENT = 512
"""Bytes or characters; a host with its port has up to 259."""


class BoundedCache(dict[Argument, Result]):
    """Results of a pure function by its argument: `cache[argument]` computes what is missing.

    Clients may choose arguments, so it keeps at most `room` of them: once full, it starts again from empty. Results for
    arguments longer than `LONGEST_ARGUMENT` are computed each time: a head can bring names of tens of kilobytes.
    `functools.lru_cache` wraps every argument that is neither text nor a number, and takes several times as long.
    """

    __slots__ = ("_function", "_room")

    def __init__(self, function: Callable[[Argument], Result], *, room: int) -> None:
        super().__init__()
        self._function = function
        self._room = room

    def __missing__(self, argument: Argument) -> Result:
        result = self._function(argument)
        if len(argument) > LONGEST_ARGUMENT:
            return result
        if len(self) >= self._room:
            self.clear()
        self[argument] = result
        return result
