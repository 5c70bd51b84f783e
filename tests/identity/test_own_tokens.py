"""Hazards: tokens of our own that open more than their scope, outlive their key, or mean another app's user."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.access import Auth
from config.control import IssuerSettings
from config.plans import BUILT_IN_PLANS
from config.workloads import Workload
from middlewares.auth.verdict import Denial, Grant, Verdict
from middlewares.exchange import Refusal
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.control.revoked_tokens import RevokedTokens
from proxy.control.users import Users
from proxy.identity.authentication import Authentication
from proxy.identity.issuer_keys import IssuerKeys
from proxy.identity.principal_resolver import PrincipalResolver
from proxy.identity.token_issuer import TokenIssuer, TokenSubject, own_issuer
from proxy.store.store import Store

ORIGIN = "https://gate.example"


@dataclass
class OwnTokens:
    """An app with a user, and the issuer and authentication around them."""

    apps: Apps
    keys: ApiKeys
    users: Users
    revoked: RevokedTokens
    issuer: TokenIssuer
    authentication: Authentication
    app: str
    user: str

    def token(self, *scopes: str, user: str | None = None, key: str | None = None) -> bytes:
        """Return a token of the user, or of another subject."""
        subject = TokenSubject(self.app, user or self.user, key=key)
        return self.issuer.issue(subject, scopes).text.encode()

    async def judge(self, token: bytes) -> Verdict:
        """Return the verdict of the current records."""
        return await self.authentication.resolver.judge(token)


@pytest.fixture
async def own(store: Store, tmp_path: Path) -> AsyncIterator[OwnTokens]:
    settings = IssuerSettings()
    keys = IssuerKeys.open(tmp_path, settings)
    redis = store.redis
    authentication = Authentication(Auth(), BUILT_IN_PLANS, store=store, redis=redis, own=own_issuer(ORIGIN, keys))
    await authentication.start()
    apps, users = Apps(redis, None), Users(redis)
    app, _ = await apps.create("test", "standard")
    user, _ = await users.create(app.client_id, "ann")
    yield OwnTokens(
        apps=apps,
        keys=ApiKeys(redis, None),
        users=users,
        revoked=RevokedTokens(redis),
        issuer=TokenIssuer(ORIGIN, keys, settings),
        authentication=authentication,
        app=app.client_id,
        user=user.user_id,
    )
    await authentication.stop()


@pytest.mark.parametrize(
    ("scopes", "works"), [(("inference",), True), (("sign:job",), True), (("admin", "read"), False)]
)
async def test_only_scopes_of_work_cover_work_also_where_a_gateway_asks(
    own: OwnTokens, scopes: tuple[str, ...], works: bool
) -> None:
    """Hazard: a stage checks the scope of a token, and a webhook, which takes the same token, does not."""
    token = own.token(*scopes)
    verdict = await own.judge(token)
    assert isinstance(verdict, Grant)
    assert (verdict.principal.app, verdict.principal.user, verdict.principal.key) == (own.app, own.user, None)
    assert verdict.scopes == frozenset(scopes)
    principals = PrincipalResolver(own.authentication.resolver)
    if works:
        assert (await principals.by_credential(token, Workload.LIVE_VIDEO_TO_VIDEO)).user == own.user
    else:
        with pytest.raises(Refusal) as refused:
            await principals.by_credential(token, Workload.LIVE_VIDEO_TO_VIDEO)
        assert refused.value.code == "insufficient_scope"


async def test_a_token_for_a_key_is_as_narrow_and_as_short_lived_as_the_key(own: OwnTokens) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=2)
    key, _ = await own.keys.create(
        own.app, user=own.user, workloads=[Workload.LLM], models=["m"], cidrs=["10.0.0.0/8"], expires_at=soon
    )
    verdict = await own.judge(own.token("inference", key=key.key_id))
    assert isinstance(verdict, Grant)
    assert verdict.principal.workloads == frozenset({Workload.LLM})
    assert verdict.principal.models == frozenset({"m"})
    assert verdict.networks
    assert verdict.expires_at == soon.timestamp()
    assert verdict.principal.key == key.key_id
    await own.keys.revoke(key.key_id)
    ended = await own.judge(own.token("inference", key=key.key_id))
    assert isinstance(ended, Denial)
    assert ended.code == "key_revoked"


async def test_revocation_suspension_and_unknown_keys_end_a_token(own: OwnTokens) -> None:
    token = own.token("inference")
    verdict = await own.judge(token)
    assert isinstance(verdict, Grant)
    [token_id] = [ref.id for ref in verdict.rests_on if ref.kind == "token"]
    await own.revoked.revoke(token_id, verdict.expires_at or 0)
    revoked = await own.judge(token)
    assert isinstance(revoked, Denial)
    assert revoked.code == "token_revoked"

    missing = await own.judge(own.token("inference", key="a" * 16))
    assert isinstance(missing, Denial)
    user = await own.users.get(own.app, own.user)
    assert user is not None
    await own.users.change(user, status="suspended")
    suspended = await own.judge(own.token("inference"))
    assert isinstance(suspended, Denial)
    assert suspended.code == "user_suspended"
    await own.apps.set_status(own.app, "suspended")
    app = await own.judge(own.token("admin", user=own.app))
    assert isinstance(app, Denial)
    assert app.code == "app_suspended"


async def test_a_revoked_token_is_remembered_as_long_as_it_would_have_lived_and_no_longer(
    own: OwnTokens, store: Store
) -> None:
    await own.revoked.revoke("one", datetime.now(UTC).timestamp() + 60)
    assert 55_000 < await store.redis.pttl("tollgate:token:{one}") <= 60_001
    await own.revoked.revoke("past", datetime.now(UTC).timestamp() - 60)
    assert not await store.redis.exists("tollgate:token:{past}")
