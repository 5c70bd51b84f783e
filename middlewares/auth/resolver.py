"""Judges credentials by the records, without a cache; `cache.CachedCredentials` is put before it."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from config.networks import parse_network
from config.plans import Plan
from middlewares.auth.claims import Identity
from middlewares.auth.compact import TokenRefused
from middlewares.auth.jwt import TokenVerifier
from middlewares.auth.keys import hash_secret, matches, parse_key
from middlewares.auth.ports import Directory
from middlewares.auth.records import AppRecord, KeyRecord, RecordRef
from middlewares.auth.verdict import WORK_SCOPES, Denial, Grant, Verdict
from middlewares.exchange import CredentialOwner, Principal

_KEY_PREFIX = b"tgk_"
_INVALID = Denial(401, "invalid_credentials", "The credential is malformed, unknown or wrong.", memorable=False)

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.auth")


class CredentialResolver:
    """A `CredentialJudge` that looks up keys in the directory, and verifies tokens."""

    def __init__(
        self,
        directory: Directory,
        plans: Mapping[str, Plan],
        verifier: TokenVerifier,
        *,
        pepper: bytes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._plans = plans
        self._verifier = verifier
        self._pepper = pepper
        self._clock = clock
        self._no_hash = hash_secret(secrets.token_bytes(32), pepper)
        """What the secret of an unknown key is compared with: a hash like those that are stored, of no key."""

    async def judge(self, credential: bytes) -> Verdict:
        """Return the verdict. Malformed credentials are denied without a lookup. Raises `StoreError`."""
        if credential.startswith(_KEY_PREFIX):
            return await self._judge_key(credential)
        if credential.count(b".") == 2:
            return await self._judge_token(credential)
        return _INVALID

    async def _judge_key(self, credential: bytes) -> Verdict:
        key = parse_key(credential)
        if key is None:
            return _INVALID
        record = await self._directory.key(key.key_id)
        # An unknown id costs the same comparison, so that its response takes no less time than that of a wrong secret.
        good = matches(key.secret, record.hash if record else self._no_hash, self._pepper)
        if record is None or not good:
            return replace(_INVALID, rests_on=(RecordRef("key", key.key_id),), memorable=True)
        return await self._judge_record(record)

    async def judge_again(self, app: str, user: str | None, key: str | None, plan: str | None) -> Verdict:
        """Return the verdict on a principal that was authenticated before, by key id or the claims of its token.

        For work that outlasts its request. `plan` is the one that a token named. Raises `StoreError`.
        """
        if key is None:
            return await self._judge_bearer(app, user, plan, None)
        record = await self._directory.key(key)
        return _INVALID if record is None else await self._judge_record(record)

    async def _judge_record(self, record: KeyRecord) -> Verdict:
        """Return the verdict on a key whose secret was checked."""
        expires_at = record.expires_at.timestamp() if record.expires_at else None
        owner = CredentialOwner(record.app, record.user, record.key_id)
        if record.status != "active":
            return Denial(401, "key_revoked", "The key has been revoked.", (record.ref,), owner)
        if expires_at is not None and expires_at <= self._clock():
            return Denial(401, "key_expired", "The key has expired.", (record.ref,), owner)
        verdict = await self._judge_bearer(record.app, record.user, None, record)
        if isinstance(verdict, Denial):
            return verdict
        networks = tuple(map(parse_network, record.cidrs)) if record.cidrs is not None else None
        origins = frozenset(origin.encode() for origin in record.origins) if record.origins is not None else None
        return replace(verdict, networks=networks, origins=origins, expires_at=expires_at)

    async def _judge_token(self, token: bytes) -> Verdict:
        try:
            identity = self._verifier.verify(token)
        except TokenRefused as refused:
            return Denial(refused.status, refused.code, str(refused), memorable=refused.memorable)
        if identity.token_id is not None:
            return await self._judge_own(identity, RecordRef("token", identity.token_id))
        verdict = await self._judge_bearer(identity.app, identity.user, identity.plan, None, tier=identity.tier)
        if isinstance(verdict, Denial):
            return verdict
        verdict = replace(verdict, expires_at=identity.expires_at)
        return verdict if identity.scopes is None else _limited(verdict, identity.scopes)

    async def _judge_own(self, identity: Identity, token: RecordRef) -> Verdict:
        """Return the verdict on a token of our own issuer: it ends with its revocation, and with its API key."""
        if await self._directory.token_revoked(token.id):
            owner = CredentialOwner(identity.app, identity.user, identity.key)
            return Denial(401, "token_revoked", "The token has been revoked.", (token,), owner)
        if identity.key is None:
            verdict = await self._judge_bearer(identity.app, identity.user, None, None)
        else:
            record = await self._directory.key(identity.key)
            verdict = _INVALID if record is None else await self._judge_record(record)
        if isinstance(verdict, Denial):
            return replace(verdict, rests_on=(*verdict.rests_on, token))
        ends = (verdict.expires_at, float(identity.expires_at))
        verdict = replace(
            verdict,
            rests_on=(*verdict.rests_on, token),
            expires_at=min(end for end in ends if end is not None),
        )
        return _limited(verdict, identity.scopes or frozenset())

    async def _judge_bearer(
        self,
        client_id: str,
        user_id: str | None,
        plan_name: str | None,
        key: KeyRecord | None,
        *,
        tier: str | None = None,
    ) -> Verdict:
        """Return a grant if app, user and plan of an authenticated credential are valid, else a denial.

        `plan_name` and `tier` are those that its token names; None: those of the app.
        Users of external issuers need no record of their own; one that exists may suspend them.
        """
        app_ref = RecordRef("app", client_id)
        rests_on: tuple[RecordRef, ...] = (app_ref,) if key is None else (key.ref, app_ref)
        app = await self._directory.app(client_id)
        if app is None:
            return replace(_INVALID, rests_on=rests_on, memorable=True)
        owner = CredentialOwner(client_id, user_id, key.key_id if key else None)
        if app.status != "active":
            return Denial(401, "app_suspended", "The app this credential belongs to is suspended.", rests_on, owner)
        if user_id is not None:
            rests_on += (RecordRef("user", f"{client_id}/{user_id}"),)
            user = await self._directory.user(client_id, user_id)
            if user is None and key is not None:
                return replace(_INVALID, rests_on=rests_on, memorable=True)
            if user is not None and user.status != "active":
                detail = "The user this credential belongs to is suspended."
                return Denial(401, "user_suspended", detail, rests_on, owner)
        plan_name = plan_name or app.plan
        plan = self._plan(plan_name, app, tier or app.tier)
        if plan is None:
            return Denial(403, "plan_unknown", "The plan of this app is not offered any more.", rests_on, owner)
        principal = Principal(
            app=client_id,
            user=user_id,
            key=key.key_id if key else None,
            plan_name=plan_name,
            plan=plan,
            workloads=key.workloads if key else None,
            models=key.models if key else None,
            streams=key.streams if key else None,
            key_terms=key.terms if key else None,
        )
        return Grant(principal, rests_on)

    def _plan(self, name: str, app: AppRecord, tier: str | None) -> Plan | None:
        """Return the plan with that tier, if any, in place of its own, and its version; None if there is none."""
        plan = self._plans.get(name)
        if plan is None:
            log.warning("plan_unknown", app=app.client_id, plan=name)
            return None
        if tier is None or tier == plan.tier:
            return plan
        _ = plan.version  # computed before the copy, which keeps it
        return plan.model_copy(update={"tier": tier})


def _limited(grant: Grant, scopes: frozenset[str]) -> Grant:
    """Return the grant with the scopes of its token, without one of which it covers no work."""
    principal = grant.principal
    if not scopes & WORK_SCOPES:
        principal = replace(principal, workloads=frozenset())
    return replace(grant, principal=principal, scopes=scopes)
