"""JSON is read as Go's `encoding/json` reads it, where two readers could differ."""

import json
import re
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.json_codec import MAX_LONE_SURROGATES, decode, decode_as_go, to_json

DECODER: msgspec.json.Decoder[object] = msgspec.json.Decoder(object)
_pieces = st.sampled_from(
    [r"\ud800", r"\uDBFF", r"\udc00", r"\uDfff", r"\ud83d\ude00", r"\\", r"\\ud800", r"\u0041", r"\ud7ff", "é", "ud800"]
)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (rb'"\ud800"', "\ufffd"),
        (rb'"\udc00"', "\ufffd"),
        (rb'"\ud800\ud800"', "\ufffd\ufffd"),
        (rb'"\udc00\ud800"', "\ufffd\ufffd"),
        (rb'"\ud800\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\ud800x"', "\ufffdx"),
        (rb'"\ud800\u0041"', "\ufffdA"),
        (rb'"\\ud800"', r"\ud800"),
        (rb'"\\\ud800"', "\\\ufffd"),
        (rb'{"\ud800":["\udfff"]}', {"\ufffd": ["\ufffd"]}),
    ],
)
def test_half_of_a_surrogate_pair_is_the_replacement_character(text: bytes, read: object) -> None:
    assert decode_as_go(DECODER, text) == read
    assert decode_as_go(DECODER, text.decode()) == read
    assert decode(DECODER, bytearray(text)) == read
    assert json.loads(to_json(read)) == read


@given(st.lists(_pieces, max_size=8).map("".join))
def test_every_text_has_as_many_replacements_as_lone_halves(inside: str) -> None:
    text = f'"{inside}"'
    read: object = decode_as_go(DECODER, text)
    assert read == re.sub("[\ud800-\udfff]", "\ufffd", json.loads(text))


@pytest.mark.parametrize("text", [rb'"\ud8"', rb'"\ud800', rb'["\ud800",]', b'"\xed\xa0\x80"', rb'"\ud800\x"'])
def test_what_is_no_json_stays_none(text: bytes) -> None:
    assert decode(DECODER, text) is None
    with pytest.raises(ValueError, match=r"malformed|truncated|decode"):
        decode_as_go(DECODER, text)


def test_neither_escapes_nor_surrogates_cost_more_than_reading_them() -> None:
    start = time.process_time()
    text = b'"' + rb"\u0041" * 500_000 + rb'\ud800"'
    assert decode(DECODER, text) == "A" * 500_000 + "\ufffd"
    assert decode(DECODER, b'"' + rb"\ud800" * MAX_LONE_SURROGATES + b'"') == "\ufffd" * MAX_LONE_SURROGATES
    assert decode(DECODER, b'"' + rb"\ud800" * 500_000 + b'"') is None
    assert decode(DECODER, rb"\u0041" * 500_000) is None
    assert decode(DECODER, b"\\" * 3_000_000) is None
    assert time.process_time() - start < 1
