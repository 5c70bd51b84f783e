"""The life of a key from the command line: limits, an increase, a reminder to rotate; leaks in files."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from middlewares.auth.keys import mint_client_secret, mint_key
from middlewares.auth.records import KeyRecord
from proxy.control.key_use import COARSE_SECONDS, KeyUse
from proxy.control.records import name_of
from tests.cli.conftest import Tollgate
from tests.store.servers import RedisServer


@pytest.fixture
def key(tollgate: Tollgate) -> dict[str, Any]:
    app = tollgate("apps", "create", "Acme", "--plan", "free", "--json").json["client_id"]
    made: dict[str, Any] = tollgate("keys", "create", "--app", app, "--spend-total", f"{10**27}", "--json").json
    return made


def test_limits_are_changed_raised_and_removed(tollgate: Tollgate, key: dict[str, Any]) -> None:
    assert key["limits"] == {"spend_total": f"{10**27}"}

    def change(*options: str) -> dict[str, Any]:
        changed: dict[str, Any] = tollgate("keys", "change", key["key_id"], *options, "--json").json
        assert tollgate("keys", "show", key["key_id"], "--json").json == changed
        return changed

    assert change("--concurrent", "2", "--spend-total", "none")["limits"] == {"concurrent": 2}
    raised = change("--raise", "concurrent=20", "--raise-for", "2h")["increase"]
    assert raised["concurrent"] == 20
    left = datetime.fromisoformat(raised["until"]) - datetime.now(UTC)
    assert timedelta(hours=1) < left <= timedelta(hours=2)
    assert change("--end-raise")["increase"] is None
    narrowed = change("--origin", "https://a.example", "--stream", "cam", "--description", "kiosk", "--name", "k")
    assert (narrowed["origins"], narrowed["streams"], narrowed["name"]) == (["https://a.example"], ["cam"], "k")
    free = change("--any-origin", "--any-stream")
    assert (free["origins"], free["streams"], free["description"]) == (None, None, "kiosk")
    assert "limits:" in tollgate("keys", "show", key["key_id"]).out
    [line] = tollgate("audit", "list", "--action", "key.change", "--limit", "1", "--json").json
    assert (line["target"], line["texts"]["changed"]) == (key["key_id"], "origins, streams")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "say what to change"),
        (("--concurrent", "-1"), "--concurrent must be a whole number"),
        (("--concurrent", "0"), "--concurrent must be greater than or equal to 1"),
        (("--spend-per-day", "1.5"), "--spend-per-day must be"),
        (("--raise", "concurrent=5"), "--raise needs an end"),
        (("--raise-for", "2h"), "need --raise"),
        (("--raise", "memory=5", "--raise-for", "2h"), "limits are requests-per-minute"),
        (("--raise", "concurrent=5", "--raise-until", "2020-01-01"), "--raise-until must be in the future"),
        (("--raise", "concurrent=5", "--raise-for", "2h"), "no concurrent of its own"),
        (("--origin", "a.example"), "an origin as browsers send it"),
        (("--stream", "a/b"), "--stream must be the name of a stream: 1 to 200 letters"),
        (("--spend-total", "0"), "--spend-total must be a whole number of atomic units from 1 to 10^27"),
        (("--description", "a" * 1_001), "--description must have at most 1000 characters"),
    ],
)
def test_wrong_changes_change_nothing(
    tollgate: Tollgate, key: dict[str, Any], options: tuple[str, ...], message: str
) -> None:
    refused = tollgate("keys", "change", key["key_id"], *options)
    assert (refused.code, refused.out) == (2, "")
    assert message in refused.err
    assert tollgate("keys", "show", key["key_id"], "--json").json == {
        name: value for name, value in key.items() if name != "key"
    }


def test_listings_tell_of_old_keys_and_of_the_last_use(
    tollgate: Tollgate, key: dict[str, Any], redis_server: RedisServer
) -> None:
    with Redis.from_url(redis_server.url) as redis:
        record = msgspec.json.decode(redis.get(f"tollgate:key:{{{key['key_id']}}}"), type=KeyRecord)
        born = datetime.now(UTC) - timedelta(days=90)
        document = msgspec.json.decode(msgspec.json.encode(record)) | {"created_at": born.isoformat()}
        redis.set(name_of(record.ref), msgspec.json.encode(document))

    async def use() -> None:
        async with AsyncRedis.from_url(redis_server.url) as opened:
            use = KeyUse(opened)
            await use.record({key["key_id"]: key["app"]}, 1_900_000_123)
            await use.record({key["key_id"]: key["app"]}, 1_900_000_123 - COARSE_SECONDS)  # a worker that is late

    asyncio.run(use())
    [listed] = tollgate("keys", "list", "--app", key["app"], "--json").json
    assert (listed["rotation_due"], listed["last_used_at"]) == (True, "2030-03-17T17:45:00+00:00")
    table = tollgate("keys", "list", "--app", key["app"])
    assert "1 key is due to be rotated" in table.err
    assert tollgate("keys", "list", "--app", key["app"], TOLLGATE_AUTH__ROTATE_AFTER_DAYS="91").err == ""
    tollgate("keys", "rotate", key["key_id"])
    assert tollgate("keys", "list", "--app", key["app"]).err == ""


def test_leaks_are_found_and_never_printed(tollgate: Tollgate, tmp_path: Path) -> None:
    text, parts = mint_key()
    secret, _ = mint_client_secret()
    leaky, clean, missing = tmp_path / "dump.bin", tmp_path / "clean.txt", tmp_path / "missing"
    leaky.write_bytes(b"\0\xff\n\n" + text.encode() + b"\n" + secret.encode())
    clean.write_text(f"{text[:-1]}{'a' if text[-1] != 'a' else 'b'} tgk_ tgs_")
    found = tollgate("keys", "scan", str(clean), str(leaky))
    assert found.code == 1
    assert found.out == f"{leaky}:3: API key {parts.key_id}\n{leaky}:4: client secret\n"
    as_json = tollgate("keys", "scan", "--json", str(leaky))
    assert [each["line"] for each in msgspec.json.decode(as_json.out)] == [3, 4]
    for done in (found, as_json):
        assert text[21:] not in done.out + done.err
        assert secret[4:] not in done.out + done.err
    assert tollgate("keys", "scan", str(clean)).code == 0
    unreadable = tollgate("keys", "scan", str(missing), str(clean), str(tmp_path))
    assert unreadable.code == 2
    assert "No such file" in unreadable.err
    assert "Is a directory" in unreadable.err
    assert tollgate("keys", "scan", str(missing), str(leaky)).code == 1


@pytest.mark.slow
def test_standard_input_is_scanned(tmp_path: Path) -> None:
    text, parts = mint_key()
    done = subprocess.run(
        [sys.executable, "-m", "proxy.cli.main", "keys", "scan", "-"],
        input=f"a\n{text}".encode(),
        capture_output=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    assert (done.returncode, done.stdout.decode()) == (1, f"standard input:2: API key {parts.key_id}\n")
