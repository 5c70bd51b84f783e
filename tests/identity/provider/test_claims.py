"""Hazard: an address that only looks like another's is taken for it."""

from __future__ import annotations

from typing import Any

import pytest

from config.sign_in_provider import SignInProvider
from middlewares.exchange import Refusal
from proxy.control.developers.developers import name_of_email
from proxy.identity.provider.claims import applicant_of

KELVIN = "\N{KELVIN SIGN}"
"""What `str.lower` makes a `k` of."""
CLAIMS: dict[str, Any] = {"sub": "1", "email_verified": True}


def test_addresses_are_compared_in_lower_case_of_ascii_alone() -> None:
    assert name_of_email("Kim@Example.com") == name_of_email("kim@example.com")
    assert name_of_email(f"{KELVIN}im@example.com") != name_of_email("kim@example.com")


def test_a_domain_that_looks_like_an_accepted_one_is_another() -> None:
    settings = SignInProvider.model_validate({"domains": ["kiosk.example"]})
    good = applicant_of({**CLAIMS, "email": "ann@KIOSK.example"}, settings, invite=None, address="192.0.2.1")
    assert good.email == "ann@KIOSK.example"
    with pytest.raises(Refusal, match="domain"):
        applicant_of({**CLAIMS, "email": f"ann@{KELVIN}iosk.example"}, settings, invite=None, address="192.0.2.1")
