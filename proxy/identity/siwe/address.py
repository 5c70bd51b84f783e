"""Addresses of wallets: 20 bytes in hexadecimal, whose letters' case is a checksum (EIP-55)."""

from __future__ import annotations

import re

from proxy.identity.siwe.extra import missing_packages
from proxy.identity.siwe.keccak import keccak_256

_ADDRESS = re.compile("0x[0-9A-Fa-f]{40}")


def is_address(text: str) -> bool:
    """Return True for `0x` and 40 hexadecimal digits, in whatever case."""
    return _ADDRESS.fullmatch(text) is not None


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
