"""Addresses of wallets: 20 bytes in hexadecimal, whose letters' case is a checksum (EIP-55)."""

from __future__ import annotations

import re

from proxy.identity.siwe.extra import missing_packages
from proxy.identity.siwe.keccak import keccak_256

_ADDRESS = re.compile("0x[0-9A-Fa-f]{40}")


def is_address(text: str) -> bool:
    """Return True for `0x` and 40 hexadecimal digits, in whatever case."""
    return _ADDRESS.fullmatch(text) is not None


def checked_address(text: str) -> str:
    """Return `text` if it is an address; in mixed case it must have its checksum. Raises `ValueError`."""
    if not is_address(text):
        raise ValueError("that is no address of a wallet; one is 0x and 40 hexadecimal digits")
    if text != text.lower():
        if missing_packages():
            raise ValueError(
                'the checksum cannot be checked without pip install "naap-tollgate[wallet]"; write it in lower case'
            )
        if not has_checksum(text):
            raise ValueError(
                "the address does not have its checksum (EIP-55); a digit is wrong, or the case of a letter"
            )
    return text


def with_checksum(address: str) -> str:
    """Return the address in the case that EIP-55 gives its letters."""
    digits = address[2:].lower()
    nibbles = keccak_256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if nibble >= "8" else digit for digit, nibble in zip(digits, nibbles, strict=False)
    )


def has_checksum(address: str) -> bool:
    """Return True if the address is written in the case that EIP-55 gives it."""
    return address == with_checksum(address)


def shown(address: str) -> str:
    """Return the address with its checksum, as it is where the extra that computes one is not installed."""
    return address if missing_packages() else with_checksum(address)
