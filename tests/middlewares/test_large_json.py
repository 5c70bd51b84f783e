"""Hazard: JSON that takes many times its size, or the event loop's time, once it is parsed."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.exchange import Refusal
from middlewares.json_codec import MAX_DEPTH, nested_too_deeply
from middlewares.large_json import MAX_VALUES, THREAD_BYTES, LargeJson, check_structure

MIB = 1 << 20


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":[' + b"[]," * MIB + b"1]}",
        b'{"a":[' + b'"a",' * MIB + b"1]}",
        b'{"a":[' + b'"\\\\",' * MIB + b"1]}",
        b'{"a":[' + b'"' + b',"' * MIB,
        b"{" + b",".join(b'"%d":1' % number for number in range(MAX_VALUES + 1)) + b"}",
    ],
    ids=["lists", "strings", "escapes", "unended", "members"],
)
def test_too_much_structure_is_refused_before_it_is_parsed(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        check_structure(body)
    assert (refused.value.status, refused.value.code) == (413, "body_too_large")


@pytest.mark.parametrize("text", [b"x", b",", b"{[:,", b'\\"', b"\\\\", b"\\u0041"])
def test_a_long_text_passes_whatever_it_holds(text: bytes) -> None:
    check_structure(b'{"messages":[{"role":"user","content":"' + text * MIB + b'"}]}')


async def test_a_large_body_is_parsed_in_a_thread_and_a_small_one_is_not() -> None:
    large_json = LargeJson()

    def thread(_: bytes) -> threading.Thread:
        return threading.current_thread()

    small, large = await large_json.parse(b"{}", thread), await large_json.parse(b" " * (THREAD_BYTES + 1), thread)
    assert small is threading.main_thread()
    assert large is not small
    assert await large_json.parse(b" " * (THREAD_BYTES + 1), thread) is large  # one for all


async def test_a_parse_in_the_thread_leaves_the_loop_its_turns() -> None:
    turned = threading.Event()

    def parse(_: bytes) -> bool:
        return turned.wait(10)

    parsing = asyncio.ensure_future(LargeJson().parse(b" " * (THREAD_BYTES + 1), parse))
    await asyncio.sleep(0)
    turned.set()
    assert await parsing


nested_json = st.recursive(
    st.none() | st.text(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def depth(value: object) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 1 + max(map(depth, value.values()), default=0) if isinstance(value, dict) else 0


@given(nested_json, st.integers(0, MAX_DEPTH + 5))
def test_depth_is_counted_outside_of_strings(value: object, outer: int) -> None:
    text = b"[" * outer + msgspec.json.encode(value) + b"]" * outer
    assert nested_too_deeply(text) is (depth(value) + outer > MAX_DEPTH)
