"""The format of keys and client secrets, and what is stored of them."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.auth.keys import (
    hash_secret,
    is_id,
    matches,
    mint_client_secret,
    mint_key,
    new_id,
    parse_client_secret,
    parse_key,
)

TEXT, KEY = mint_key()


def test_a_key_has_the_documented_form() -> None:
    assert re.fullmatch(r"tgk_[a-z2-7]{16}_[0-9A-Za-z]{43}[0-9A-Za-z]{6}", TEXT)
    assert parse_key(TEXT.encode()) == KEY


def test_a_client_secret_has_the_documented_form() -> None:
    text, secret = mint_client_secret()
    assert re.fullmatch(r"tgs_[0-9A-Za-z]{43}[0-9A-Za-z]{6}", text)
    assert parse_client_secret(text.encode()) == secret
    assert parse_key(text.encode()) is None
    assert parse_client_secret(TEXT.encode()) is None


def test_no_two_keys_are_alike() -> None:
    assert len({mint_key()[1].secret for _ in range(1_000)}) == 1_000
    assert len({new_id() for _ in range(1_000)}) == 1_000


def test_ids_are_recognised() -> None:
    assert is_id(KEY.key_id)
    assert is_id(new_id())
    assert not any(map(is_id, ("", "a" * 15, "a" * 17, "A" * 16, "a" * 15 + "1", TEXT)))


@given(position=st.integers(0, len(TEXT) - 1), character=st.sampled_from(string.ascii_letters + string.digits + "_"))
def test_one_wrong_character_is_noticed_without_the_store(position: int, character: str) -> None:
    changed = TEXT[:position] + character + TEXT[position + 1 :]
    assert (parse_key(changed.encode()) is None) == (changed != TEXT)


@pytest.mark.parametrize(
    "text",
    ["", "tgk_", TEXT[:-1], TEXT + "0", TEXT + "\n", " " + TEXT, TEXT.upper(), TEXT.replace("tgk", "tgs"), "tgk_" * 25],
    ids=["empty", "prefix", "short", "long", "newline", "space", "upper", "secret", "repeated"],
)
def test_malformed_keys_are_refused(text: str) -> None:
    assert parse_key(text.encode()) is None


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_no_key(noise: bytes) -> None:
    assert parse_key(noise) is None
    assert parse_key(b"tgk_" + noise) is None


def test_hashes_carry_their_scheme_and_not_the_secret() -> None:
    plain, peppered = hash_secret(KEY.secret, None), hash_secret(KEY.secret, b"pepper")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", plain)
    assert re.fullmatch(r"hmac-sha256:[0-9a-f]{64}", peppered)
    assert KEY.secret.decode() not in plain + peppered + repr(KEY)


def test_a_hash_matches_its_secret_only() -> None:
    other = mint_key()[1].secret
    for pepper in (None, b"pepper"):
        stored = hash_secret(KEY.secret, pepper)
        assert matches(KEY.secret, stored, pepper)
        assert not matches(other, stored, pepper)


def test_keys_made_with_another_pepper_stop_working() -> None:
    stored = hash_secret(KEY.secret, b"old")
    assert not matches(KEY.secret, stored, b"new")
    assert not matches(KEY.secret, stored, None)


def test_keys_made_before_there_was_a_pepper_go_on_working() -> None:
    assert matches(KEY.secret, hash_secret(KEY.secret, None), b"pepper")
