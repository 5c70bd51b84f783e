"""What an `Idempotency-Key` may be, compared with a library of structured fields."""

from __future__ import annotations

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


@given(st.binary(max_size=12))
def test_what_begins_with_a_quote_is_a_string_or_refused(value: bytes) -> None:
    value = b'"' + value
    try:
        _, parsed = http_sf.parse(value.strip(b" \t"), tltype="item")
        expected = parsed[0] if isinstance(parsed, tuple) and not parsed[1] else None
    except ValueError:
        expected = None
    if isinstance(expected, str) and expected:
        assert key_of(value) == expected.encode()
    else:
        with pytest.raises(Refusal):
            key_of(value)


@pytest.mark.parametrize("value", [b"0b9f-41", b"a/b=c;d:e", b"x" * MAX_CHARACTERS, b" padded "])
def test_a_bare_key_is_the_quoted_one(value: bytes) -> None:
    assert key_of(value) == key_of(b'"%b"' % value.strip()) == value.strip()
