"""Results of a pure function, cached within bounds."""

from middlewares.bounded_cache import LONGEST_ARGUMENT, BoundedCache


def test_a_function_is_called_once_for_each_argument_while_there_is_room() -> None:
    arguments: list[bytes] = []

    def length(argument: bytes) -> int:
        arguments.append(argument)
        return len(argument)

    lengths = BoundedCache(length, room=2)
    assert [lengths[argument] for argument in (b"a", b"bb", b"a", b"bb")] == [1, 2, 1, 2]
    assert arguments == [b"a", b"bb"]
    assert lengths[b"ccc"] == 3
    assert len(lengths) == 1, "it begins anew instead of growing"
    assert lengths[b"a"] == 1
    assert arguments == [b"a", b"bb", b"ccc", b"a"]


def test_results_for_long_arguments_are_not_kept() -> None:
    lengths = BoundedCache(len, room=2)
    assert lengths[b"a" * (LONGEST_ARGUMENT + 1)] == LONGEST_ARGUMENT + 1
    assert lengths[b"a" * LONGEST_ARGUMENT] == LONGEST_ARGUMENT
    assert [len(argument) for argument in lengths] == [LONGEST_ARGUMENT]
