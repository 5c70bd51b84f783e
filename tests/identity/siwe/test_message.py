"""The parser of EIP-4361 against messages made from its grammar, and against texts that are almost messages."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from datetime import datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.identity.siwe.message import MAX_CHARACTERS, MalformedMessage, SiweMessage, parse_message, written
from tests.identity.siwe.generated import messages
from tests.support.wallet import Wallet

GOOD = (
    "a.example wants you to sign in with your Ethereum account:\n"
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\n\nHello.\n\n"
    "URI: https://a.example\nVersion: 1\nChain ID: 1\nNonce: 12345678\nIssued At: 2026-11-29T12:00:00Z"
)
INSERTED = st.sampled_from(
    ["", "\n", "\r", " ", "\t", "\0", "é", "\u0430", "\u2028", "a", "%", "%zz", '"', "<", ":", "1"]
)


@pytest.mark.slow
@given(messages())
def test_every_message_of_the_grammar_is_read_as_it_was_written(made: tuple[dict[str, Any], str]) -> None:
    fields, text = made
    if len(text) > MAX_CHARACTERS:
        return
    assert asdict(parse_message(text)) == fields


@pytest.mark.ci
@given(messages())
def test_what_is_written_is_read_back(made: tuple[dict[str, Any], str]) -> None:
    fields: dict[str, Any] = {
        name: value.replace(microsecond=value.microsecond // 1_000 * 1_000) if isinstance(value, datetime) else value
        for name, value in made[0].items()
    }
    text = written(SiweMessage(**fields))
    if len(text) <= MAX_CHARACTERS:
        assert asdict(parse_message(text)) == fields


@pytest.mark.slow
@given(messages(), st.data())
def test_a_message_that_is_changed_in_one_place_is_refused_or_says_so(
    made: tuple[dict[str, Any], str], data: st.DataObject
) -> None:
    """Hazard: a reader that drops, joins or ignores what it does not know: two texts of one meaning."""
    fields, text = made
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 3)))
    changed = text[:start] + data.draw(INSERTED) + text[end:]
    if changed == text:
        return
    try:
        found = asdict(parse_message(changed))
    except MalformedMessage:
        return
    times = {"issued_at", "expiration_time", "not_before"}
    assert found != fields or _times(changed) != _times(text), "only a time can be written in two ways"
    assert changed.isascii()
    assert times <= found.keys()


def _times(text: str) -> list[str]:
    return re.findall(r"^(?:Issued At|Expiration Time|Not Before): .*$", text, re.MULTILINE)


@given(st.text(max_size=300) | st.text("\n:- 0x1aURI", max_size=300))
@example("")
@example("\n" * 12)
def test_any_other_text_is_refused_and_raises_nothing_else(text: str) -> None:
    with pytest.raises(MalformedMessage):
        parse_message(text)


def test_the_plain_message_is_good() -> None:
    assert parse_message(GOOD).statement == "Hello."


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("Hello.", "Hello\u201d", None),
        ("Hello.", 'Hello"', 4),
        ("12345678", "1234567", 9),
        ("Chain ID: 1", "Chain ID: -1", 8),
        ("Chain ID: 1", "Chain ID: 0x1", 8),
        ("Version: 1", "Version: 01", 7),
        ("12:00:00Z", "24:00:00Z", 10),
        ("12:00:00Z", "12:00:60Z", 10),
        ("12:00:00Z", "12:00:00+24:00", 10),
        ("12:00:00Z", "12:00:00+00:60", 10),
        ("2026-11-29T", "2026-11-29 ", 10),
        ("2026-11-29", "0000-11-29", 10),
        ("2026-11-29T12:00:00Z", "0001-01-01T00:00:00+23:00", 10),
        ("2026-11-29T12:00:00Z", "\u0662026-11-29T12:00:00Z", None),
        ("https://a.example", "https://a.example/%2", 6),
        ("https://a.example", "https://a.example/ b", 6),
        ("https://a.example", "//a.example", 6),
        ("5aAeb6053F", "5aaeb6053f", 2),
        ("Hello.\n\nURI", "Hello.\nURI", 5),
        ("a.example wants", "a/b wants", 1),
        ("a.example wants", "ftp:// a wants", 1),
    ],
)
def test_the_error_names_the_line_and_nothing_that_stands_there(old: str, new: str, line: int | None) -> None:
    assert old in GOOD
    with pytest.raises(MalformedMessage) as refused:
        parse_message(GOOD.replace(old, new, 1))
    said = str(refused.value)
    assert said.startswith(f"Line {line} " if line else "The message has a character")
    assert new not in said


@pytest.mark.parametrize("unit", ["a", "%41", "a:", "/", "a@", "[::1]", "- ", "\n", "Resources:\n- a:"])
def test_no_text_takes_long(unit: str) -> None:
    """Hazard: a pattern that backtracks, and an event loop that waits for it."""
    filler = unit * (MAX_CHARACTERS // len(unit))
    texts = [filler, filler + " wants you to sign in with your Ethereum account:", GOOD + "\nResources:\n- x:" + filler]
    texts += [GOOD.replace("https://a.example", "https://" + filler), GOOD.replace("Hello.", filler)]
    for text in texts:
        began = time.thread_time()
        with pytest.raises(MalformedMessage):
            parse_message(text[: MAX_CHARACTERS - 1] + "\x7f")
        assert time.thread_time() - began < 0.05


def test_it_is_the_message_that_wallets_sign() -> None:
    wallet = Wallet()
    challenge = {
        "domain": "a.example",
        "statement": "Hello.",
        "uri": "https://a.example",
        "version": "1",
        "chain_ids": [1],
        "nonce": "12345678",
    }
    assert parse_message(wallet.message(challenge)).address == wallet.address
