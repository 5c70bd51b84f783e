"""Hazard: a signature that the library of a provider does not compare, but fails on."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.api.payments.test_payments import STRIPE

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest.mark.parametrize("signature", ["v1=\xe9", "v1=ab,v1=\xff", "v0=\xe9,v1=\xe9"])
async def test_a_signature_beyond_ascii_is_no_signature(http: httpx.AsyncClient, signature: str) -> None:
    headers = {b"stripe-signature": f"t={int(time.time())},{signature}".encode("latin-1")}
    response = await http.post(STRIPE, content=b"{}", headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_signature")
