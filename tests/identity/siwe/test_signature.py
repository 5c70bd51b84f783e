"""Recovery against the library of Ethereum's own people, and the checksums that EIP-55 prints."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.address import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.identity.siwe.address import has_checksum, with_checksum
from proxy.identity.siwe.keccak import keccak_256
from proxy.identity.siwe.signature import BadSignature, signer_of
from tests.support.wallet import Wallet

EIP_55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("address", EIP_55)
def test_checksums_are_those_of_the_standard(address: str) -> None:
    assert has_checksum(address)
    assert with_checksum(address.lower()) == address
    if address != address.lower():
        assert not has_checksum(address.lower())


def test_the_hash_is_keccak_and_not_sha_3() -> None:
    assert keccak_256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@given(st.binary(min_size=20, max_size=20))
def test_checksums_are_those_of_another_library(raw: bytes) -> None:
    assert with_checksum("0x" + raw.hex()) == to_checksum_address(raw)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 2**255), st.text(st.characters(max_codepoint=127), max_size=200))
def test_the_signer_is_the_one_who_signed(secret: int, message: str) -> None:
    wallet = Wallet(Account.from_key(secret.to_bytes(32)))
    signature = wallet.sign(message)
    assert signer_of(message, signature) == wallet.address
    assert Account.recover_message(encode_defunct(text=message), signature=signature) == wallet.address
    assert signer_of(message + " ", signature) != wallet.address


@given(st.binary(min_size=65, max_size=65) | st.binary(max_size=80))
def test_any_bytes_are_a_signer_or_a_refusal(raw: bytes) -> None:
    with suppress(BadSignature):
        assert has_checksum(signer_of("a message", "0x" + raw.hex()))


async def test_the_event_loop_does_not_notice_a_sign_in() -> None:
    """A check that would take long enough to be noticed belongs into a thread; eth-account's takes 7 ms."""
    wallet = Wallet()
    message = "x" * 600
    signature = wallet.sign(message)
    signer_of(message, signature)
    took = []
    for _ in range(200):
        began = time.thread_time()
        signer_of(message, signature)
        took.append(time.thread_time() - began)
        await asyncio.sleep(0)
    took.sort()
    assert took[100] < 0.001, f"{took[100] * 1e6:.0f} us in the median"
