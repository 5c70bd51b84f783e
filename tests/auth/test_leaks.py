"""Leaked keys are found wherever they stand, and nothing that only looks like one."""

from __future__ import annotations

import io
import json
import os
import random
import zlib

import pytest

from middlewares.auth.keys import _base62, mint_client_secret, mint_key
from middlewares.auth.leaks import LONGEST, Leak, leaks_in


def scan(data: bytes, chunk_bytes: int = 1 << 20) -> list[Leak]:
    return list(leaks_in(io.BytesIO(data).read, chunk_bytes))


def operator_key() -> str:
    """A key of the form that operators have."""
    text = "tgo_" + mint_key()[0][4:-6]
    return text + _base62(zlib.crc32(text.encode()), 6)


def test_keys_are_found_in_text_json_and_binary_data() -> None:
    key, parts = mint_key()
    secret, _ = mint_client_secret()
    operator = operator_key()
    api_key = Leak("API key", 2, parts.key_id)
    assert scan(f"# settings\nexport KEY={key}\n".encode()) == [api_key]
    assert scan(json.dumps({"a": 1, "key": key}, indent=1).encode())[0].id == parts.key_id
    assert scan(f"https://example/?key={key}&x=1".encode()) == [Leak("API key", 1, parts.key_id)]
    noise = os.urandom(5_000).replace(b"\n", b"")
    assert scan(noise + b"\n" + key.encode() + noise) == [api_key]
    assert scan(f"\n\n{secret}{operator}".encode()) == [
        Leak("client secret", 3, None),
        Leak("operator key", 3, operator[4:20]),
    ]


def test_a_key_is_found_across_every_border_of_two_chunks() -> None:
    """Hazard: the one key that lies on the border of two reads."""
    key, parts = mint_key()
    text = f"first\n{'x' * 90}\n{key}\nlast {key}".encode()
    found = [Leak("API key", 3, parts.key_id), Leak("API key", 4, parts.key_id)]
    for chunk_bytes in range(1, len(text) + 2):
        assert scan(text, chunk_bytes) == found, chunk_bytes


def test_lines_are_counted_once_however_the_file_is_read() -> None:
    generator = random.Random(7)
    key, parts = mint_key()
    pieces = [b"\n" * generator.randrange(4) + b"tgk_" * generator.randrange(3) + key.encode() for _ in range(200)]
    data = b"".join(pieces)
    whole = scan(data)
    assert len(whole) == 200
    assert [each.line for each in whole] == [1 + data.count(b"\n", 0, end - len(key)) for end in _ends(pieces)]
    assert {each.id for each in whole} == {parts.key_id}
    for chunk_bytes in (1, 7, LONGEST - 1, LONGEST, LONGEST + 1, 1_000):
        assert scan(data, chunk_bytes) == whole


def _ends(pieces: list[bytes]) -> list[int]:
    at, found = 0, []
    for piece in pieces:
        at += len(piece)
        found.append(at)
    return found


@pytest.mark.parametrize("mint", [mint_key, mint_client_secret])
def test_what_has_a_wrong_checksum_is_no_leak(mint: object) -> None:
    """Hazard: an alarm for every example in a manual."""
    text = mint()[0]  # type: ignore[operator]
    for place in range(4, len(text)):
        other = "b" if text[place] != "b" else "c"
        assert scan(f"{text[:place]}{other}{text[place + 1 :]}".encode()) == []
    assert scan(text[:-1].encode()) == []
    assert scan(b"tgk_tgs_tgo_tgk") == []
    assert len(scan(f"tgk_{text}".encode())) == 1, "what stands before it hides nothing"
