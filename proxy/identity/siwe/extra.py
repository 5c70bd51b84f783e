"""The extra `wallet`: libraries that only sign-in with a wallet needs, and what is said where they are missing."""

from __future__ import annotations

from importlib.util import find_spec

from config.loader import Problem
from config.settings import Settings

PACKAGES = {"coincurve": "coincurve", "pycryptodome": "Crypto"}
"""Packages of the extra, each with the module that it brings."""


def missing_packages() -> list[str]:
    """Return the packages of the extra that are not installed."""
    return [package for package, module in PACKAGES.items() if find_spec(module) is None]


def wallet_problems(settings: Settings) -> list[Problem]:
    """Return what is wrong where wallets are to sign in and nothing could check their signatures."""
    missing = missing_packages() if settings.sign_in.wallet else []
    if not missing:
        return []
    reason = f'needs {" and ".join(missing)}; install the extra: pip install "naap-tollgate[wallet]"'
    return [Problem("sign_in.wallet", reason)]
