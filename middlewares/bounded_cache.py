"""Answers of pure functions that are asked for with every request."""

from collections.abc import Callable
from typing import TypeVar

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")


class BoundedCache(dict[Argument, Answer]):
    """What a pure function says, by its argument. Clients may choose arguments: once it is full, it begins anew.

    `functools.lru_cache` wraps every argument that is neither text nor a number, and takes several times as long.
    """

    __slots__ = ("_function", "_room")

    def __init__(self, function: Callable[[Argument], Answer], *, room: int) -> None:
        super().__init__()
        self._function = function
        self._room = room

    def __missing__(self, argument: Argument) -> Answer:
        answer = self._function(argument)
        if len(self) >= self._room:
            self.clear()
        self[argument] = answer
        return answer
