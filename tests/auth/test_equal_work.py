"""Who guesses key ids learns nothing from the time of a refusal: known and unknown ids take the same work."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from config.plans import BUILT_IN_PLANS
from middlewares.auth import keys
from middlewares.auth.jwks import KeySets
from middlewares.auth.jwt import TokenVerifier
from middlewares.auth.keys import ApiKey, hash_secret, mint_key, parse_key
from middlewares.auth.records import AppRecord, KeyRecord, UserRecord
from middlewares.auth.resolver import CredentialResolver
from middlewares.auth.verdict import Denial, Verdict


class CountedDirectory:
    """Holds one key, and counts lookups."""

    def __init__(self, record: KeyRecord, work: Counter[str]) -> None:
        self._record = record
        self._work = work

    async def key(self, key_id: str) -> KeyRecord | None:
        self._work["key"] += 1
        return self._record if key_id == self._record.key_id else None

    async def app(self, client_id: str) -> AppRecord | None:
        self._work["app"] += 1
        return None

    async def token_revoked(self, token_id: str) -> bool:
        self._work["token"] += 1
        return False

    async def user(self, app: str, user_id: str) -> UserRecord | None:
        self._work["user"] += 1
        return None


def other_secret(known: ApiKey) -> bytes:
    """Return a well-formed key of a known id with another secret."""
    _, other = mint_key()
    return keys._sealed(f"tgk_{known.key_id}_{other.secret.decode()}").encode()


@pytest.mark.parametrize("pepper", [None, b"a pepper"])
@pytest.mark.parametrize("stored_with", [None, b"a pepper"])
async def test_known_and_unknown_key_ids_take_the_same_work(
    monkeypatch: pytest.MonkeyPatch, pepper: bytes | None, stored_with: bytes | None
) -> None:
    work: Counter[str] = Counter()
    made = hash_secret

    def counted(secret: bytes, pepper: bytes | None) -> str:
        work["plain hash" if pepper is None else "peppered hash"] += 1
        return made(secret, pepper)

    async def spent(credential: bytes) -> tuple[Verdict, Counter[str]]:
        work.clear()
        verdict = await resolver.judge(credential)
        return verdict, Counter(work)

    text, key = mint_key()
    assert parse_key(text.encode()) == key
    record = KeyRecord(
        key.key_id, "app_1", hash_secret(key.secret, stored_with), text[-4:], datetime(2026, 11, 1, tzinfo=UTC)
    )
    directory = CountedDirectory(record, work)
    verifier = TokenVerifier((), KeySets((), None))  # type: ignore[arg-type] # nothing is fetched without an issuer
    resolver = CredentialResolver(directory, BUILT_IN_PLANS, verifier, pepper=pepper)
    monkeypatch.setattr(keys, "hash_secret", counted)

    wrong, wrong_work = await spent(other_secret(key))
    unknown, unknown_work = await spent(mint_key()[0].encode())
    assert isinstance(wrong, Denial)
    assert isinstance(unknown, Denial)
    assert (wrong.status, wrong.code, wrong.detail) == (unknown.status, unknown.code, unknown.detail)
    assert wrong.memorable == unknown.memorable
    assert wrong_work == unknown_work
    assert unknown_work["key"] == 1
    assert unknown_work.total() == 3
