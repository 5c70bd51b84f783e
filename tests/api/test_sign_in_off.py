"""Where the operator has not turned sign-in with a wallet on, there is none."""

from __future__ import annotations

import httpx
import pytest

from tests.support.wallet import LOGIN, NONCE

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_where_wallets_may_not_sign_in_nobody_does(http: httpx.AsyncClient) -> None:
    body = {"message": "a", "signature": "0x"}
    for response in (await http.post(NONCE), await http.post(LOGIN, json=body)):
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
        assert "sign_in.wallet" in response.json()["detail"]
