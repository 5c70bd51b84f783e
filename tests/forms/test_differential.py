"""Hazard: the client writes a form that the edge, the meter and the gateway read in different ways, and sets its bill.

Go's own `mime/multipart` reads the same forms: where Go is installed it is asked, elsewhere its recorded verdicts
count. `python -m tests.forms.test_differential` records them anew.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from middlewares.edge.form import ModelFinder, boundary_of
from middlewares.exchange import Headers, Refusal
from middlewares.usage_tracker.meters.form import Form
from tests.forms.generated import GeneratedForm, forms

NUMBER, FEW = 20_000, 3_000
RECORDED = Path(__file__).with_name("go_verdicts.json.gz")
MISSING = -1
"""Width that stands for none: the meter's default."""

Verdict = dict[str, Any]


def go_verdicts(sent: list[GeneratedForm], folder: Path) -> list[Verdict]:
    """Return what Go reads in each form."""
    environment = {**os.environ, "GOCACHE": str(folder), "GOFLAGS": "", "GO111MODULE": "off"}
    lines = "".join(
        json.dumps({"content_type": each.content_type.decode("latin-1"), "body": b64encode(each.body).decode()}) + "\n"
        for each in sent
    )
    command = ["go", "run", str(Path(__file__).with_name("reader.go"))]
    run = subprocess.run(command, input=lines, env=environment, capture_output=True, text=True, check=True, timeout=300)
    return [json.loads(line) for line in run.stdout.splitlines()]


def edge_verdict(sent: GeneratedForm, cuts: list[int]) -> Verdict:
    """Return what the edge reads: the model, or a refusal."""
    headers: Headers = [(b"content-type", sent.content_type)]
    try:
        boundary = boundary_of(headers)
        if boundary is None:
            return {"failed": True}  # passed on as it is; the gateway refuses what is no form
        finder = ModelFinder(boundary)
        for start, end in zip([0, *cuts], [*cuts, len(sent.body)], strict=True):
            finder.feed(sent.body[start:end])
        finder.finish()
    except Refusal:
        return {"failed": True}
    return {"model": finder.model}


def digest(content: bytes) -> str:
    """Return what stands for the content of a file; a file that is not there has none."""
    return hashlib.sha256(content).hexdigest()[:8]


def meter_verdict(sent: GeneratedForm, cuts: list[int]) -> tuple[int, bytes]:
    """Return width and file as the meter reads them."""
    file: list[bytes] = []
    form = Form([(b"content-type", sent.content_type)], ("width",), file="image", sink=file.append)
    for start, end in zip([0, *cuts], [*cuts, len(sent.body)], strict=True):
        form.feed(sent.body[start:end])
    return form.number("width", MISSING, 2**63), b"".join(file)


@pytest.mark.parametrize("number", [FEW, pytest.param(NUMBER, marks=pytest.mark.fuzz)])
def test_forms_are_refused_or_read_alike(tmp_path: Path, number: int) -> None:
    sent = forms(number)
    recorded: list[Verdict] = json.loads(gzip.decompress(RECORDED.read_bytes()))
    assert len(recorded) == NUMBER
    verdicts = recorded[:number]
    if number == NUMBER and shutil.which("go"):
        assert go_verdicts(sent, tmp_path) == verdicts, "the recorded verdicts are not Go's; record them anew"
    any_of = random.Random(1)
    passed = 0
    for each, go in zip(sent, verdicts, strict=True):
        cuts = sorted(any_of.randrange(len(each.body) + 1) for _ in range(any_of.choice((0, 0, 3))))
        edge = edge_verdict(each, cuts)
        if "failed" in edge or go.get("failed"):
            continue
        passed += 1
        width, file = meter_verdict(each, cuts)
        assert edge["model"] == go.get("model", ""), each
        assert width == (go["width"] if go.get("width", 0) > 0 else MISSING), each
        assert digest(file) == go.get("file", digest(b"")), each
    assert passed > number // 20, "the forms that are read by both must be many, too"


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        text = json.dumps(go_verdicts(forms(NUMBER), Path(folder)), separators=(",", ":"))
    RECORDED.write_bytes(gzip.compress(text.encode(), mtime=0))
