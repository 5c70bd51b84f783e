"""What the edge admits, Go reads as the edge does: generated bodies, given to Go's own decoders."""

import json
import os
import random
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from config.access import Edge
from config.plans import Plan
from config.workloads import Workload
from middlewares.edge.body import parse_object
from middlewares.edge.declaration import add_members, declare, missing_members
from middlewares.exchange import Refusal

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed"),
]

BODIES = 100_000
SETTINGS = Edge(default_models=dict.fromkeys(Workload, "default"))

GOOD = {
    "model": ['"m"', '"m"', '"m\\ud800"', '"\\udc00\\ud83d\\ude00\\\\ud800"'],
    "messages": ['[{"role":"user","content":"a"},{"role":"system","content":"b"}]', '[{"role":"user","content":"a"}]'],
    "max_tokens": ["1", "9", "null"],
    "stream": ["true", "null"],
    "temperature": ["0.5", "null"],
    "top_p": ["1"],
    "top_k": ["-1", "3"],
}
NAMES = [*GOOD, "Model", "MESSAGES", "max_to\\u006bens", "\\u006dodel", "max_to\u212aens", "\u017ftream", "x", "role"]
VALUES = [
    *("1", "0", "-1", "2.5", "1e2", "5.0", "true", "false", "null", '"m"', '""', '"role"', '"\\ud800"', "[]", "{}"),
    *('{"messages":1}', '[{"content":"a"}]', '[{"role":"user"}]', '[{"role":"user","content":"a","Role":"x"}]'),
    *('[{"role":"user","content":"a","content":null}]', '[{"r\\u006fle":"tool","role":"user","content":"a"}]'),
]


def chat(any_of: random.Random) -> bytes:
    """A chat with most of what it needs, and some members that it should not have."""
    members = [f'"{name}":{any_of.choice(GOOD[name])}' for name in list(GOOD)[:4] if any_of.random() < 0.9]
    for _ in range(any_of.choice((0, 1, 1, 2, 3))):
        name = any_of.choice(NAMES)
        value = any_of.choice(GOOD.get(name, VALUES) if any_of.random() < 0.6 else VALUES)
        members.insert(any_of.randrange(len(members) + 1), f'"{name}":{value}')
    return ("{" + ",".join(members) + "}").encode()


def admitted_chat(body: bytes) -> tuple[bytes, dict[str, Any]]:
    """What the gateway gets, and what the edge knows of it."""
    document = parse_object(body)
    added = missing_members(Workload.LLM, document, SETTINGS, Plan())
    declare(Workload.LLM, document, body, SETTINGS, Plan(), added=added)
    return add_members(body, added, first=not document) if added else body, {**document, **added}


def as_go_reads(bodies: list[tuple[str, bytes]], folder: Path) -> list[dict[str, Any]]:
    environment = {**os.environ, "GOCACHE": str(folder), "GOFLAGS": "", "GO111MODULE": "off"}
    lines = "".join(f"{kind}{b64encode(body).decode()}\n" for kind, body in bodies)
    command = ["go", "run", str(Path(__file__).with_name("reader.go"))]
    run = subprocess.run(command, input=lines, env=environment, capture_output=True, text=True, check=True, timeout=500)
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_chats(tmp_path: Path) -> None:
    any_of = random.Random(7)
    found: list[tuple[bytes, dict[str, Any]]] = []
    for body in (chat(any_of) for _ in range(BODIES)):
        try:
            found.append(admitted_chat(body))
        except Refusal:
            continue
    read = as_go_reads([("j", body) for body, _ in found], tmp_path)
    assert len(found) > BODIES // 50
    for (body, document), go in zip(found, read, strict=True):
        assert not go["failed"], body
        known = {name: document.get(name) for name in GOOD}
        known["messages"] = [{name: message[name] for name in ("role", "content")} for message in document["messages"]]
        assert go["found"] == known, body
