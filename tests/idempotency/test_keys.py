"""What an `Idempotency-Key` may be, compared with a library of structured fields."""

from __future__ import annotations

import contextlib
from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.exchange import Refusal
from middlewares.idempotency.key import MAX_CHARACTERS, key_of

PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=MAX_CHARACTERS)


@given(PRINTABLE)
def test_every_string_of_structured_fields_is_a_key(text: str) -> None:
    assert key_of(http_sf.ser(text).encode()) == text.encode()


@given(st.one_of(st.binary(max_size=12), st.text('ab"\\ ;=1é').map(str.encode)))
def test_what_begins_with_a_quote_is_a_string_or_refused(value: bytes) -> None:
    value = b'"' + value
    parsed: Any = None, {}
    with contextlib.suppress(ValueError):
        parsed = http_sf.parse(value.strip(b" \t"), tltype="item")
    expected, parameters = parsed
    if isinstance(expected, str) and expected and not parameters:
        assert key_of(value) == expected.encode()
    else:
        with pytest.raises(Refusal):
            key_of(value)


@pytest.mark.parametrize("value", [b"0b9f-41", b"a/b=c;d:e", b"x" * MAX_CHARACTERS, b" padded "])
def test_a_bare_key_is_the_quoted_one(value: bytes) -> None:
    assert key_of(value) == key_of(b'"%b"' % value.strip()) == value.strip()
