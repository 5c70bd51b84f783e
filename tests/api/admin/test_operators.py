"""Whoever guesses operator keys is slowed down, and learns nothing from a refusal; no key is repeated anywhere."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from middlewares.auth import keys
from middlewares.auth.keys import hash_secret, mint_key, mint_operator_key, parse_key, parse_operator_key
from middlewares.auth.records import OperatorRecord, RecordRef, Role
from middlewares.response.redaction import mask
from proxy.control.operators import operators
from proxy.control.operators.operators import Operators
from proxy.control.records import Records
from tests.api.admin.conftest import ADMIN, Operated, operator_key
from tests.support.builder import bearer
from tests.support.deployment import deployed


def other_secret(text: str) -> bytes:
    """Return a well-formed operator key of the same id with another secret."""
    operator_id = text.split("_")[1]
    _, other = mint_operator_key()
    return keys._sealed(f"tgo_{operator_id}_{other.secret.decode()}").encode()


def test_operator_keys_and_api_keys_are_not_each_other() -> None:
    operator, key = mint_operator_key()[0].encode(), mint_key()[0].encode()
    assert parse_operator_key(operator) is not None
    assert parse_key(key) is not None
    assert parse_operator_key(key) is parse_key(operator) is None
    assert mask(f"a {operator.decode()}") == "a tgo_[redacted]"
    assert parse_operator_key(operator[:-1] + (b"0" if operator[-1:] != b"0" else b"1")) is None


@pytest.mark.parametrize("pepper", [None, b"a pepper"])
async def test_known_and_unknown_operators_take_the_same_work(
    monkeypatch: pytest.MonkeyPatch, pepper: bytes | None
) -> None:
    work: Counter[str] = Counter()
    records: dict[RecordRef, OperatorRecord] = {}

    class Client:
        """Redis, as far as an operator is created in it."""

        async def sadd(self, *_: object) -> None:
            """Take an index entry."""

    async def get(_: Records[Any], ref: RecordRef) -> OperatorRecord | None:
        work["look-up"] += 1
        return records.get(ref)

    async def add(_: Records[Any], record: OperatorRecord) -> bool:
        records[record.ref] = record
        return True

    def counted(secret: bytes, stored: str, pepper: bytes | None) -> bool:
        work["comparison"] += 1
        return keys.matches(secret, stored, pepper)

    monkeypatch.setattr(Records, "get", get)
    monkeypatch.setattr(Records, "add", add)
    monkeypatch.setattr(operators, "matches", counted)
    client: Any = Client()
    service = Operators(client, pepper)
    record, text = await service.create("Ann", Role.SUPPORT)
    assert record.hash != hash_secret(b"", pepper)
    for credential, found in (
        (text.encode(), record),
        (other_secret(text), None),
        (mint_operator_key()[0].encode(), None),
    ):
        work.clear()
        assert await service.authenticate(credential) == found
        assert work == {"look-up": 1, "comparison": 1}
    assert await service.authenticate(b"tgo_x") is None


@pytest.mark.ci
async def test_refused_keys_are_throttled_and_good_ones_pass(tmp_path: Path) -> None:
    async with deployed(tmp_path, {"auth": {"failures_per_minute": 3}}) as deployment:
        good = bearer(await operator_key(deployment, Role.VIEWER))
        async with httpx.AsyncClient(base_url=deployment.private, timeout=30, trust_env=False) as http:
            found = [
                (await http.get(f"{ADMIN}/apps", headers=bearer(mint_operator_key()[0]))).status_code for _ in range(6)
            ]
            assert found == [401, 401, 401, 429, 429, 429]
            assert (await http.get(f"{ADMIN}/apps", headers=good)).status_code == 200
            by_default = await http.get(f"{deployment.public}{ADMIN}/apps", headers=good)
            assert (by_default.status_code, by_default.json()["code"]) == (404, "not_found")
            assert (await http.get(f"{deployment.private}/readyz")).status_code == 200


@pytest.mark.ci
@pytest.mark.asyncio(loop_scope="package")
async def test_secrets_are_in_no_error_log_line_metric_schema_or_audit_line(operated: Operated) -> None:
    http, headers = operated.http, operated.headers()
    app = (await http.post(f"{ADMIN}/apps", json={"name": "x", "plan": "free"}, headers=headers)).json()
    path = f"{ADMIN}/apps/{app['client_id']}"
    key = (await http.post(f"{path}/keys", json={}, headers=headers)).json()["key"]
    found = []
    for secret in (app["client_secret"], key, *operated.keys.values()):
        sent = {"name": secret, "plan": secret, "reference": secret, "note": secret, "amount": secret, "role": secret}
        found += [
            await http.post(f"{ADMIN}/apps", json=sent, headers=headers),
            await http.post(f"{path}/credits/grant", json=sent, headers=headers),
            await http.get(f"{path}/events", params={"after": secret, "from": secret}, headers=headers),
            await http.get(f"{ADMIN}/apps/{secret}", headers=headers),
            await http.get(f"{path}/users/{secret}", headers=headers),
            await http.get(f"{path}/events/{secret}", headers=headers),
            await http.post(f"{path}/attention/{secret}", json={"decision": "accept"}, headers=headers),
            await http.delete(f"{ADMIN}/keys/{secret}", headers=headers),
            await http.post(f"{ADMIN}/operators", json=sent, headers=headers),
            await http.get(f"{ADMIN}/apps", headers=bearer(secret[:-1] + ("0" if secret[-1] != "0" else "1"))),
        ]
    assert {each.status_code for each in found} <= {400, 401, 404}
    texts = [each.text for each in found]
    texts.append((await http.get(f"{ADMIN}/openapi.json")).text)
    texts.append((await http.get("/metrics")).text)
    texts.append(json.dumps(operated.deployment.lines()))
    texts.append((await operated.deployment.cli("audit", "list", "--json"))[1])
    for secret in (app["client_secret"], key, *operated.keys.values()):
        assert [text for text in texts if secret[-40:-1] in text] == []
