"""A secret that strays into a log call, an exception or a path must not be written down."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.runtime import Log
from middlewares.exchange import Exchange
from middlewares.response.log import RequestLog
from middlewares.response.redaction import REDACTED, mask, redact

CANARY = "caNary0" * 7
KEY = f"tgk_abcdefghijklmnop_{CANARY}"
LINK = f"/portal/sign-in/tgl_abcdefghijklmnop_{CANARY}"
JWT = f"eyJhbGciOiJSUzI1NiJ9.{CANARY}.{CANARY}"

PROGRAM = f"""
import logging, sys, warnings
import structlog
from middlewares.response.log import configure_logging
configure_logging("info")
log = structlog.get_logger("tollgate.test")
log.debug("too quiet")
nested = {{"Client-Secret": "{CANARY}", "list": [{{"token": "{CANARY}"}}]}}
log.info("fields", api_key="{CANARY}", max_tokens=5, nested=nested)
log.info("scope", headers=[(b"authorization", b"Bearer {CANARY}"), (b"x-api-key", b"{CANARY}"), (b"host", b"proxy")])
log.warning("text {KEY} and {JWT}", text=b"Authorization: Basic {CANARY}", value={{("a", 1): "{KEY}"}})
logging.getLogger("uvicorn.error").warning("client sent %s", "{KEY}")
logging.getLogger("redis").error("no route to redis://user:{CANARY}@127.0.0.1:6379/0")
try:
    raise RuntimeError("rejected {JWT}")
except RuntimeError:
    log.exception("failed", key="abcdefghijklmnop")
    logging.getLogger("asyncio").error("task failed", exc_info=True)
warnings.showwarning("deprecated", UserWarning, "deprecated", 1)
"""


@pytest.mark.ci
def test_canary() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == ""
    assert CANARY not in ran.stderr
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [line["event"].split()[0] for line in lines] == [
        "fields",
        "scope",
        "text",
        "client",
        "no",
        "failed",
        "task",
        "deprecated:1:",
    ]
    assert all({"timestamp", "level", "logger"} <= line.keys() for line in lines)
    assert lines[0]["max_tokens"] == 5
    assert lines[0]["nested"] == {"Client-Secret": REDACTED, "list": [{"token": REDACTED}]}
    assert lines[1]["headers"] == [["authorization", REDACTED], ["x-api-key", REDACTED], ["host", "proxy"]]
    assert lines[5]["key"] == "abcdefghijklmnop", "a key's id is no secret"
    assert "RuntimeError: rejected [redacted]" in lines[5]["exception"]
    assert "RuntimeError: rejected [redacted]" in lines[6]["exception"]


def test_request_line(tmp_path: Path) -> None:
    file = tmp_path / "log"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        for path in (f"/live/{KEY}/0.ts", f"/stream/{JWT}", f"/tgs_{CANARY}", LINK):
            exchange = Exchange("r", 0.0, "GET", path)
            exchange.surface = "builder-api"
            RequestLog(Log(), fd=descriptor).write(exchange, seconds=0.0)
    finally:
        os.close(descriptor)
    written = file.read_text()
    assert CANARY not in written
    assert [json.loads(line)["path"] for line in written.splitlines()] == [
        "/live/tgk_[redacted]/0.ts",
        "/stream/[redacted]",
        "/tgs_[redacted]",
        "/portal/sign-in/tgl_[redacted]",
    ]


@pytest.mark.parametrize(
    "secret", ["correct-horse-battery", "sk-proj-4f9aCANARY", "https://ann:hunter2@host", "AKIAIOSFODNN7EXAMPLE"]
)
@pytest.mark.parametrize(
    ("surface", "status", "before"), [("", 404, ""), ("", 401, ""), ("builder-api", 404, "/api/v1")]
)
def test_secret_of_a_foreign_shape_in_an_unknown_target(
    tmp_path: Path, secret: str, surface: str, status: int, before: str
) -> None:
    """Hazard: a secret of another service, sent to a path that is none of ours, is no pattern's match."""
    file = tmp_path / "log"
    exchange = Exchange("r", 0.0, "GET", f"{before}/{secret}")
    exchange.surface, exchange.surface_path, exchange.client_status = surface, before, status
    with file.open("wb") as opened:
        RequestLog(Log(), fd=opened.fileno()).write(exchange, seconds=0.0)
    assert secret not in file.read_text()
    assert json.loads(file.read_text())["path"] == f"{before}[{len(secret) + 1} characters]"


@given(st.text(), st.text())
def test_key_is_masked_wherever_it_stands(before: str, after: str) -> None:
    assert CANARY not in mask(f"{before} {KEY} {after}")
    assert CANARY not in mask(f"{before}={JWT},{after}")


@pytest.mark.parametrize(
    "text",
    [
        "Send an API key as `Authorization: Bearer <key>` or `X-Api-Key: <key>`.",
        "basic authentication is off",
        "keyJournal and http://127.0.0.1:9935/a@b",
        "model stabilityai/sdxl-turbo",
    ],
)
def test_plain_text_stays(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize("name", ["max_tokens", "output_tokens", "key", "key_id", "tokenizer", "secretary"])
def test_innocent_names_stay(name: str) -> None:
    assert redact({name: 7}) == {name: 7}


@pytest.mark.parametrize("name", ["token", "access_token", "apikey", "x-api-key", "X-API-KEY", "key_pepper", "Cookie"])
def test_names_of_secrets(name: str) -> None:
    assert redact({name: CANARY}) == {name: REDACTED}


def test_nesting_without_end() -> None:
    endless: dict[str, object] = {}
    endless["again"] = endless
    assert REDACTED in str(redact(endless))
