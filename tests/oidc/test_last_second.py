"""Hazard: a credential in its last second is exchanged for a token that is over before it is sent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from config.control import IssuerSettings
from middlewares.auth.verdict import Grant
from middlewares.exchange import Principal, Refusal
from proxy.identity.issuer_keys import IssuerKeys
from proxy.identity.token_issuer import TokenIssuer
from proxy.oidc.grants import Grants
from tests.support.builder import API_KEY


class OneKey:
    """Accepts every credential, for so many seconds more."""

    def __init__(self, seconds: float) -> None:
        self.ends_at = time.time() + seconds

    async def judge(self, _: bytes) -> Grant:
        plan: Any = None
        return Grant(Principal("app_a", None, "key", "free", plan), (), expires_at=self.ends_at)


@pytest.mark.parametrize("seconds", [-1, 0, 0.9])
async def test_a_key_that_ends_within_a_second_is_not_exchanged(tmp_path: Path, seconds: float) -> None:
    settings, unused = IssuerSettings(), (None,) * 4
    issuer = TokenIssuer("https://gate.example", IssuerKeys.open(tmp_path, settings), settings)
    form = {"subject_token": "tgk_a", "subject_token_type": API_KEY}

    async def exchange(judge: OneKey) -> dict[str, Any]:
        grants: Any = Grants(issuer, judge, *unused)  # type: ignore[arg-type]
        found: dict[str, Any] = await grants.exchange(form, None, None, "192.0.2.1")
        return found

    with pytest.raises(Refusal, match="expired"):
        await exchange(OneKey(seconds))
    assert 1 <= (await exchange(OneKey(5)))["expires_in"] <= 5
