"""The auth stage over Redis: records, cache, notices of changes."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from config.access import Auth
from config.issuers import Issuer
from config.plans import BUILT_IN_PLANS
from config.workloads import Workload
from middlewares.auth.keys import mint_key
from middlewares.auth.middleware import AuthMiddleware, failure_limit
from middlewares.auth.records import UserRecord
from middlewares.exchange import Exchange, Principal, Refusal
from middlewares.routes import BY_NAME
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.control.records import Records, name_of
from proxy.control.users import Users
from proxy.identity.authentication import Authentication
from proxy.store.store import Store
from tests.auth.issuer import AUDIENCE, ISSUER, claims, jwk, key_set, rsa_key, token
from tests.store.servers import RedisServer, eventually

PEPPER = b"a pepper"
DOWN = "https://down.example"
PLANS = {name: BUILT_IN_PLANS[name] for name in ("free", "premium")}


@dataclass
class AuthStage:
    """The auth stage, the services for its records, and the exchanges it passed on."""

    authentication: Authentication
    apps: Apps
    keys: ApiKeys
    users: Users
    passed: list[Exchange] = field(default_factory=list)
    used: dict[str, str] = field(default_factory=dict)

    async def principal(
        self, credential: str | bytes, workload: Workload = Workload.LLM, address: str = "192.0.2.1"
    ) -> Principal:
        """The principal of a request with this credential. Raises `Refusal`."""
        exchange = Exchange(
            "01J", 0.0, "POST", "/llm", route=replace(BY_NAME["llm"], workload=workload), client_address=address
        )
        text = credential.encode() if isinstance(credential, str) else credential
        scope = {
            "type": "http",
            "headers": [(b"host", b"tollgate"), (b"authorization", b"Bearer " + text)],
            "tollgate.exchange": exchange,
        }
        await AuthMiddleware(
            self._inner,
            credentials=self.authentication.credentials,
            failure_limit=failure_limit(1_000),
            used=self.used,
        )(scope, _receive, _send)
        assert self.passed[-1] is exchange
        assert exchange.principal is not None
        return exchange.principal

    async def refused(self, credential: str | bytes, **request: Any) -> tuple[int, str]:
        """Return status and code of the refusal."""
        with pytest.raises(Refusal) as refusal:
            await self.principal(credential, **request)
        headers = dict(refusal.value.headers)
        if refusal.value.status == 401:
            assert headers[b"www-authenticate"] == b'Bearer realm="tollgate", error="invalid_token"'
        if refusal.value.status == 503:
            assert headers[b"retry-after"] == b"1"
        return refusal.value.status, refusal.value.code

    async def _inner(self, scope: Any, receive: Any, send: Any) -> None:
        self.passed.append(scope["tollgate.exchange"])


async def _receive() -> Any:
    raise AssertionError("auth reads no body")


async def _send(message: Any) -> None:
    raise AssertionError("auth writes no response")


@pytest.fixture
async def stage(store: Store, tmp_path: Path) -> AsyncIterator[AuthStage]:
    async with _stage(store, tmp_path) as opened:
        yield opened


@asynccontextmanager
async def _stage(store: Store, path: Path) -> AsyncIterator[AuthStage]:
    """A worker of its own: two of them share only Redis."""
    file = path / "jwks.json"
    file.write_bytes(key_set(jwk(rsa_key(), kid="k1")))
    issuer = Issuer.model_validate(
        {
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "jwks_file": file,
            "app_claim": "azp",
            "plan_claim": "plan",
            "plans": ["premium"],
        }
    )
    down = issuer.model_copy(update={"issuer": DOWN, "jwks_file": path / "missing.json"})
    mapped = issuer.model_copy(
        update={"audience": "mapped", "tier_claim": "realm.tier", "tiers": {"fast": "premium"}, "scope_claim": "scp"}
    )
    settings = Auth(key_pepper=SecretStr(PEPPER.decode()), issuers=(issuer, down, mapped))
    authentication = Authentication(settings, PLANS, store=store, redis=store.redis)
    await authentication.start()
    try:
        yield AuthStage(authentication, Apps(store.redis, PEPPER), ApiKeys(store.redis, PEPPER), Users(store.redis))
    finally:
        await authentication.stop()


async def test_a_key_becomes_its_principal(stage: AuthStage) -> None:
    app, _ = await stage.apps.create("Acme", "premium")
    user, _ = await stage.users.create(app.client_id, "ann@acme")
    record, key = await stage.keys.create(app.client_id, user=user.user_id, models=["m1"])
    assert await stage.principal(key) == Principal(
        app.client_id, user.user_id, record.key_id, "premium", PLANS["premium"], None, frozenset({"m1"})
    )


async def test_an_apps_tier_replaces_the_plans_and_nothing_else(stage: AuthStage) -> None:
    app, _ = await stage.apps.create("Acme", "free", tier="gold")
    _, key = await stage.keys.create(app.client_id)
    plan = (await stage.principal(key)).plan
    assert (plan.tier, plan.version) == ("gold", PLANS["free"].version)
    assert plan.limits == PLANS["free"].limits
    assert PLANS["free"].tier == "standard"


async def test_unknown_wrong_and_malformed_keys_get_one_response(stage: AuthStage) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    _, key = await stage.keys.create(app.client_id)
    stranger = mint_key()[0]
    forged = mint_key()[1].secret.decode().join([key[:21], ""])
    for credential in (stranger, forged, key[:-1], "sk-123", "", "a.b", "ä"):
        assert await stage.refused(credential) == (401, "invalid_credentials")


async def test_a_wrong_secret_with_a_right_checksum_is_refused(
    stage: AuthStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    record, key = await stage.keys.create(app.client_id)
    monkeypatch.setattr("middlewares.auth.keys.new_id", lambda: record.key_id)
    forged, parts = mint_key()
    assert parts.key_id == record.key_id
    assert await stage.refused(forged) == (401, "invalid_credentials")
    assert (await stage.principal(key)).key == record.key_id


async def test_a_malformed_key_does_not_touch_the_store(stage: AuthStage, redis_server: RedisServer) -> None:
    redis_server.kill()
    assert await stage.refused(mint_key()[0][:-1] + "-") == (401, "invalid_credentials")
    assert await stage.refused(mint_key()[0]) == (503, "store_unavailable")


async def test_an_expired_key_is_refused(stage: AuthStage) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    now = datetime.now(UTC)
    _, old = await stage.keys.create(app.client_id, expires_at=now - timedelta(seconds=1))
    _, young = await stage.keys.create(app.client_id, expires_at=now + timedelta(hours=1))
    assert await stage.refused(old) == (401, "key_expired")
    assert (await stage.principal(young)).app == app.client_id


async def test_a_key_narrowed_to_workloads_does_nothing_else(stage: AuthStage) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    _, key = await stage.keys.create(app.client_id, workloads=[Workload.LLM, Workload.BYOC])
    await stage.principal(key, Workload.BYOC)
    with pytest.raises(Refusal) as refusal:
        await stage.principal(key, Workload.UPSCALE)
    assert (refusal.value.status, refusal.value.code) == (403, "insufficient_scope")
    assert dict(refusal.value.headers)[b"www-authenticate"].endswith(b'error="insufficient_scope"')


async def test_a_key_narrowed_to_networks_works_nowhere_else(stage: AuthStage) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    _, key = await stage.keys.create(app.client_id, cidrs=["192.0.2.0/24", "2001:db8::/32"])
    for address in ("192.0.2.7", "2001:db8::1", "::ffff:192.0.2.7"):
        await stage.principal(key, address=address)
    for address in ("192.0.3.1", "2001:db9::1", "::ffff:10.0.0.1", "", "unix"):
        assert await stage.refused(key, address=address) == (403, "address_not_allowed")


async def test_networks_of_ipv4_in_the_form_of_ipv6_are_those_of_ipv4(stage: AuthStage) -> None:
    """Hazard: a key for `::ffff:192.0.2.0/120` works nowhere, for clients are compared as IPv4."""
    app, _ = await stage.apps.create("Acme", "free")
    record, key = await stage.keys.create(app.client_id, cidrs=["::ffff:192.0.2.0/120"])
    assert record.cidrs == ("192.0.2.0/24",)
    for address in ("192.0.2.7", "::ffff:192.0.2.7"):
        await stage.principal(key, address=address)
    assert await stage.refused(key, address="192.0.3.1") == (403, "address_not_allowed")


async def test_a_suspended_app_and_its_resumption_count_at_once(stage: AuthStage) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    _, key = await stage.keys.create(app.client_id)
    await stage.principal(key)
    await stage.apps.set_status(app.client_id, "suspended")
    await eventually_refused(stage, key, "app_suspended")
    await stage.apps.set_status(app.client_id, "active")
    await eventually_accepted(stage, key)


async def test_a_revocation_reaches_another_worker_at_once(stage: AuthStage, store: Store, tmp_path: Path) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    record, key = await stage.keys.create(app.client_id)
    async with _stage(store, tmp_path) as other:
        await other.principal(key)
        await stage.principal(key)
        await stage.keys.revoke(record.key_id)
        await eventually_refused(other, key, "key_revoked")
        await eventually_refused(stage, key, "key_revoked")


async def test_a_rotation_reaches_another_worker_at_once(stage: AuthStage, store: Store, tmp_path: Path) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    first, key = await stage.keys.create(app.client_id)
    async with _stage(store, tmp_path) as other:
        await other.principal(key)
        _, second, successor = await stage.keys.rotate(first.key_id, timedelta(hours=1))
        await other.principal(key)
        await other.principal(successor)
        await stage.keys.rotate(second.key_id, timedelta(0))
        await eventually_refused(other, successor, "key_expired")
        await other.principal(key)


async def test_a_plan_that_is_gone_is_403_and_one_log_line(stage: AuthStage) -> None:
    app, _ = await stage.apps.create("Acme", "enterprise-2019")
    _, key = await stage.keys.create(app.client_id)
    with capture_logs() as logs:
        for _ in range(3):
            assert await stage.refused(key) == (403, "plan_unknown")
    assert [(entry["event"], entry["plan"]) for entry in logs] == [("plan_unknown", "enterprise-2019")]


async def test_a_token_becomes_its_principal(stage: AuthStage) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    assert await stage.principal(token(claims(azp=app.client_id))) == Principal(
        app.client_id, "ann", None, "free", PLANS["free"]
    )
    premium = await stage.principal(token(claims(azp=app.client_id, plan="premium")))
    assert premium.plan_name == "premium"
    assert await stage.refused(token(claims(azp=app.client_id, plan="none"))) == (403, "plan_unknown")
    assert await stage.refused(token(claims(azp="app_nobody"))) == (401, "invalid_credentials")
    assert await stage.refused(token(claims(azp=app.client_id), kid="k2")) == (401, "invalid_token")
    expired = token(claims(azp=app.client_id, exp=int(time.time()) - 60))
    assert await stage.refused(expired) == (401, "token_expired")
    await stage.apps.set_status(app.client_id, "suspended")
    await eventually_refused(stage, token(claims(azp=app.client_id)), "app_suspended")


async def test_a_tokens_tier_replaces_that_of_app_and_plan_and_nothing_else(stage: AuthStage) -> None:
    app, _ = await stage.apps.create("Acme", "free", tier="gold")
    good = {"aud": "mapped", "azp": app.client_id, "scp": "inference"}
    plan = (await stage.principal(token(claims(**good, realm={"tier": "fast"})))).plan
    assert (plan.tier, plan.version) == ("premium", PLANS["free"].version)
    assert (await stage.principal(token(claims(**good)))).plan.tier == "gold"
    assert await stage.refused(token(claims(**good, realm={"tier": "gold"}))) == (403, "tier_unknown")
    assert await stage.refused(token(claims(**good, plan="free"))) == (403, "plan_unknown")


async def test_a_token_without_a_scope_for_work_does_none(stage: AuthStage) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    good = {"aud": "mapped", "azp": app.client_id}
    for scope in ("inference", ["openid", "sign:job"]):
        assert (await stage.principal(token(claims(**good, scp=scope)))).workloads is None
    others: tuple[object, ...] = ("openid", [], None)
    for other in others:
        with pytest.raises(Refusal) as refusal:
            await stage.principal(token(claims(**good, scp=other)))
        assert (refusal.value.status, refusal.value.code) == (403, "insufficient_scope")


async def test_an_issuer_without_keys_is_503(stage: AuthStage) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    assert await stage.refused(token(claims(iss=DOWN, azp=app.client_id))) == (503, "issuer_unavailable")


async def test_a_suspended_user_is_refused_by_key_and_by_token(stage: AuthStage, store: Store) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    user, _ = await stage.users.create(app.client_id, "ann")
    _, key = await stage.keys.create(app.client_id, user=user.user_id)
    signed = token(claims(azp=app.client_id, sub=user.user_id))
    for credential in (key, signed):
        assert (await stage.principal(credential)).user == user.user_id
    await Records(store.redis, UserRecord).change(user.ref, lambda record: replace(record, status="suspended"))
    for credential in (key, signed):
        await eventually_refused(stage, credential, "user_suspended")


@pytest.mark.parametrize("kind", ["app", "user"])
async def test_a_key_of_what_is_gone_is_refused(stage: AuthStage, store: Store, kind: str) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    user, _ = await stage.users.create(app.client_id, "ann")
    _, key = await stage.keys.create(app.client_id, user=user.user_id)
    await store.redis.delete(name_of(app.ref if kind == "app" else user.ref))
    assert await stage.refused(key) == (401, "invalid_credentials")


async def test_a_broken_record_admits_nobody(stage: AuthStage, store: Store) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    record, key = await stage.keys.create(app.client_id)
    await store.redis.set(name_of(record.ref), b"{}")
    assert await stage.refused(key) == (503, "store_unavailable")


async def test_a_frozen_redis_neither_hangs_known_keys_nor_lets_unknown_ones_in(
    stage: AuthStage, redis_server: RedisServer
) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    _, key = await stage.keys.create(app.client_id)
    await stage.principal(key)
    stage.authentication.credentials.invalidate_all()
    redis_server.freeze()
    try:
        async with asyncio.timeout(60):
            for _ in range(20):
                await stage.principal(key)
            assert await stage.refused(mint_key()[0]) == (503, "store_unavailable")
    finally:
        redis_server.thaw()


async def test_after_a_restart_of_redis_revocations_arrive_again(stage: AuthStage, redis_server: RedisServer) -> None:
    app, _ = await stage.apps.create("Acme", "free")
    record, key = await stage.keys.create(app.client_id)
    await stage.principal(key)
    redis_server.kill()
    await stage.principal(key)
    redis_server.start()
    for _ in range(500):
        try:
            await stage.keys.revoke(record.key_id)
            break
        except RedisError:
            await asyncio.sleep(0.01)
    await eventually_refused(stage, key, "key_revoked")


async def test_no_secret_appears_in_store_logs_or_errors(stage: AuthStage, tmp_path: Path) -> None:
    with capture_logs() as logs:
        app, client_secret = await stage.apps.create("Acme", "gone")
        record, key = await stage.keys.create(app.client_id)
        refusals = [await stage.refused(key), await stage.refused(key[:-1]), await stage.refused(mint_key()[0])]
        refusals.append(await stage.refused(token(claims(azp=app.client_id), kid="other")))
        await stage.keys.revoke(record.key_id)
    kept = [file.read_bytes() for file in (tmp_path / "redis").rglob("*.aof")]
    assert any(record.key_id.encode() in content for content in kept)
    shown = f"{logs} {refusals} {app} {record} {kept}"
    assert client_secret[:4] == "tgs_"
    for secret in (key[21:], key[21:64], client_secret[4:], client_secret[4:47], PEPPER.decode()):
        assert secret not in shown


async def eventually_refused(stage: AuthStage, credential: str | bytes, code: str) -> None:
    seen: list[str] = []

    async def attempt() -> None:
        try:
            await stage.principal(credential)
        except Refusal as refusal:
            seen.append(refusal.code)

    await _until(attempt, lambda: code in seen)


async def eventually_accepted(stage: AuthStage, credential: str) -> None:
    before = len(stage.passed)

    async def attempt() -> None:
        try:
            await stage.principal(credential)
        except Refusal:
            return

    await _until(attempt, lambda: len(stage.passed) > before)


async def _until(attempt: Callable[[], Awaitable[None]], done: Callable[[], bool]) -> None:
    async def tried() -> bool:
        await attempt()
        return done()

    await eventually(tried)  # gives up before a cached verdict would expire, after 22 seconds at the earliest
